"""Models scored side by side on Ray: students and teachers of a search, finalists, the rows of the poster.

`score_models` takes a `ScoreJob` per model folder and leaves accuracies by suite, and where they are asked for the
cross-entropies on dev windows or on a corpus, as `scores.json`; a job whose scores exist is not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from palenka_tune.cluster import compute
from palenka_tune.cluster.tasks import SCORES, Job, Share, run_jobs
from palenka_tune.config.artifacts import is_complete
from palenka_tune.config.files import fingerprint
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import PreparedData
from palenka_tune.data.store import TokenStore
from palenka_tune.data.texts import Unit
from palenka_tune.evaluation.minimal_pairs import TokenisedSuite, check_length, evaluate, tokenise_suite
from palenka_tune.evaluation.perplexity import (
    TokenisedText,
    evaluate_text,
    tokenise_corpus,
    training_unit,
    training_window,
)
from palenka_tune.evaluation.suites import SuiteChoice
from palenka_tune.models.folder import tokenizer_digest
from palenka_tune.models.given import positions_in
from palenka_tune.models.presets import ModelPreset
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.storage import mirror

logger = logging.getLogger(__name__)
PASSES = 3  # of a training step, forward and backward, in forward passes


@dataclass(frozen=True)
class DevWindows:
    """The dev windows on which `val_ce` is measured: those that a `student` has of the token store at `store`."""

    store: str
    student: StudentSettings


@dataclass(frozen=True)
class ScoreJob(Job):
    """One model: the `model` folder, the `folder` its scores go to, and the `suites`.

    `tokenizer` is the folder of its tokenizer (None: the model's own). `digest` stands for its weights, `data` for the
    corpus, by which suites may be filtered. With `dev` its `val_ce` is measured, with `test`, the folder of a token
    store, its `test_ce` on all test windows; with a `corpus` (a folder) its cross-entropy on dev and test, on windows
    of `window` tokens (None: as the model's export says).
    """

    RESULT = SCORES
    name: str
    folder: str
    model: str
    suites: tuple[SuiteChoice, ...]
    digest: str
    corpus: str | None = None
    data: str = ""
    window: int | None = None
    device: str = "cpu"
    dev: DevWindows | None = None
    tokenizer: str | None = None
    test: str | None = None

    @property
    def identity(self) -> str:
        """What the scores are of: the weights' digest and what was asked for."""
        return fingerprint(
            {
                "weights": self.digest,
                "suites": [{**asdict(suite), "files": suite.digest()} for suite in self.suites],
                "corpus": self.corpus,
                "data": self.data,
                "window": self.window,
                "dev": self.dev and {"store": self.dev.store, "student": self.dev.student.identity},
                **({"test": self.test} if self.test else {}),
            }
        )


Material = tuple[list[TokenisedSuite], dict[str, TokenisedText]]
_kept: dict[tuple[Any, ...], Material] = {}


def _material(job: ScoreJob, tokenizer: PreTrainedTokenizerFast, unit: Unit) -> Material:
    """Suites and texts under a model's tokenizer, read once by a process that scores several models with it."""
    key = (tokenizer_digest(job.tokenizer or job.model), job.suites, job.corpus, unit)
    if key not in _kept:
        _kept.clear()
        texts = tokenise_corpus(tokenizer, open_corpus(job.corpus), unit) if job.corpus else {}
        _kept[key] = [tokenise_suite(tokenizer, choice.read()) for choice in job.suites], texts
    return _kept[key]


def score_model(job: ScoreJob, threads: int = 1) -> dict[str, Any]:
    """Score one model in this process; returns `name, identity, parameters, val_ce, test_ce` (nats per token, None if
    they were not asked for), `text` {split: results of `evaluation.text`} and `suites` {suite: results}."""
    from palenka_tune.evaluation.perplexity import cross_entropy
    from palenka_tune.models.build import count_parameters
    from palenka_tune.models.export import load_model, load_weights
    from palenka_tune.students.bench import select_windows

    known = job.result()
    if known is not None:
        return known
    compute.begin(threads)
    if not is_complete(job.model):
        mirror.fetch_folder(Path(job.model))
    if job.tokenizer is None:
        model, tokenizer = load_model(job.model, device=job.device)
    else:
        model = load_weights(job.model, device=job.device)
        tokenizer = AutoTokenizer.from_pretrained(job.tokenizer, local_files_only=True, trust_remote_code=False)
    suites, texts = _material(job, tokenizer, training_unit(model))
    val_ce = None
    if job.dev is not None:
        store = TokenStore.open(job.dev.store)
        val_ce, _ = cross_entropy(model, select_windows(store, job.dev.student).array(store, "dev"), store.pad_id)
    test_ce = None
    if job.test is not None:
        store = TokenStore.open(job.test)
        test_ce, _ = cross_entropy(model, store.windows("test"), store.pad_id)
    window = job.window or training_window(model)
    result = {
        "name": job.name,
        "identity": job.identity,
        "parameters": count_parameters(model),
        "val_ce": val_ce,
        "test_ce": test_ce,
        "text": {split: evaluate_text(model, text, window).to_dict() for split, text in texts.items()},
        "suites": evaluate(model, suites).to_dict(),
    }
    job.keep(result)
    return result


def score_models(jobs: Sequence[ScoreJob], share: Share) -> list[dict[str, Any]]:
    """Score `jobs` in the open Ray session; results in order, with `failed` and a reason where there are none."""
    return run_jobs(score_model, jobs, share, _describe)


def _describe(result: Mapping[str, Any]) -> str:
    known = {"val/ce": result["val_ce"], "test/ce": result["test_ce"]}
    ce = [f"{name} {value:.4f}" for name, value in known.items() if value is not None]
    pairs = [f"{name} {100 * suite['accuracy']:.1f} %" for name, suite in result["suites"].items()]
    return ", ".join([*ce, *pairs]) or "there is no test text and no minimal pairs"


def own_pairs(prepared: PreparedData) -> tuple[SuiteChoice, ...]:
    """The minimal pairs that come with a corpus, if any."""
    folder = prepared.minimal_pairs
    return () if folder is None else (SuiteChoice(str(folder), label=f"{prepared.name} pairs"),)


def check_suites(
    suites: Sequence[SuiteChoice],
    tokenizer_dir: Path,
    presets: Iterable[ModelPreset],
    window: int,
    given: Iterable[Path] = (),
) -> None:
    """Raise `UserError` for a pair that the models to be scored cannot read, before any of them is trained.

    They are those of `presets`, trained on windows of `window` tokens, and those in the folders `given`, all read with
    the tokenizer in `tokenizer_dir`.
    """
    limits = [(preset.positions_for(window), f"set data.window to more than {window}") for preset in presets]
    limits += [(limit, f"give another teacher than {each}") for each in given if (limit := positions_in(each))]
    limit, fix = min(limits, default=(None, ""))
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir, local_files_only=True, trust_remote_code=False)
    for choice in suites:
        check_length(tokenise_suite(tokenizer, choice.read()), limit, f"{fix}, for more positions")


def score_steps(suites: Sequence[SuiteChoice], store: TokenStore, tokens_per_step: int) -> float:
    """How many training steps of `tokens_per_step` tokens take about as long as a model's scoring on `suites`.

    Raises `UserError` for a suite that cannot be read.
    """
    words = sum(
        len(text.split())
        for choice in suites
        for paradigm in choice.read().paradigms
        for pair in paradigm.pairs
        for text in (pair.good_context, pair.good, pair.bad_context, pair.bad)
    )
    return words * store.tokens("train") / max(1, store.words("train")) / PASSES / tokens_per_step
