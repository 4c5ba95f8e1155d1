"""Models scored side by side on Ray: the suites of a verdict, for finalists and for the rows of the poster.

In: `ScoreJob`s, a model folder each. Out: accuracies by suite as `scores.json` beside the model; a job whose scores are
there is not run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from palenka_tune.config.files import fingerprint, read_json, write_json
from palenka_tune.data.store import TokenStore
from palenka_tune.evaluation.minimal_pairs import TokenisedSuite, evaluate_suite, tokenise_suite
from palenka_tune.evaluation.perplexity import cross_entropy
from palenka_tune.evaluation.suite import read_suite
from palenka_tune.search.students import run_tasks

SCORES = "scores.json"


@dataclass(frozen=True)
class ScoreJob:
    """One model: the `model` folder, the `folder` its scores go to, and the `suites` as (name, folder).

    `digest` stands for its weights; with a `store` (a token store's folder) its cross-entropy on dev and test is
    measured too.
    """

    name: str
    folder: str
    model: str
    suites: tuple[tuple[str, str], ...]
    digest: str
    store: str | None = None
    device: str = "cpu"

    @property
    def identity(self) -> str:
        """What the scores are of: the weights' digest and the suites."""
        return fingerprint({"weights": self.digest, "suites": self.suites, "store": self.store})

    def result(self) -> dict[str, Any] | None:
        """What an earlier run of this very job left."""
        path = Path(self.folder) / SCORES
        if not path.exists():
            return None
        found: dict[str, Any] = read_json(path)
        return found if found.get("identity") == self.identity else None


@lru_cache(maxsize=1)
def _suites(tokenizer_file: str, suites: tuple[tuple[str, str], ...]) -> dict[str, TokenisedSuite]:
    """The suites under one tokenizer, read once by a process that scores several models."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(tokenizer_file).parent, local_files_only=True)
    return {name: tokenise_suite(tokenizer, read_suite(path)) for name, path in suites}


def score_model(job: ScoreJob, threads: int = 1) -> dict[str, Any]:
    """Score one model in this process; returns {"name", "identity", "text", "suites": {suite: results}}.

    `text` has per split of the store the cross-entropy in nats per token (`dev_ce`, `test_ce`).
    """
    import torch

    from palenka_tune.models.export import load_model

    known = job.result()
    if known is not None:
        return known
    torch.set_num_threads(threads)
    model, _ = load_model(job.model, device=job.device)
    suites = _suites(str(Path(job.model) / "tokenizer.json"), job.suites)
    scores = {name: evaluate_suite(model, suite).to_dict() for name, suite in suites.items()}
    text: dict[str, float] = {}
    if job.store is not None:
        store = TokenStore.open(job.store)
        for split in ("dev", "test"):
            if split in store.splits:
                text[f"{split}_ce"] = cross_entropy(model, store.windows(split), store.pad_id)[0]
    result = {"name": job.name, "identity": job.identity, "text": text, "suites": scores}
    write_json(Path(job.folder) / SCORES, result)
    return result


def score_models(
    jobs: Sequence[ScoreJob], *, concurrent: int, cpus: int, gpus: float, log: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Score `jobs` in the open Ray session; results in order, with `failed` and a reason where there are none."""
    found = {job.name: known for job in jobs if (known := job.result()) is not None}

    def done(job: ScoreJob, result: dict[str, Any]) -> None:
        found[job.name] = result
        scores = result.get("suites", {})
        said = ", ".join(f"{name} {100 * scores[name]['accuracy']:.1f} %" for name in scores)
        log(f"[{len(found)}/{len(jobs)}] {job.name}: {result.get('failed') or said}")

    waiting = [job for job in jobs if job.name not in found]
    run_tasks(score_model, waiting, done, concurrent=concurrent, cpus=cpus, gpus=gpus, log=log)
    return [found[job.name] for job in jobs]
