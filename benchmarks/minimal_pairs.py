"""Pairs per second of the product's evaluator against lm-evaluation-harness: same model, pairs, process and threads.

In: a model and a folder of minimal pairs, by default the preset Student-tiny with random weights and babytalk's pairs.
Out: pairs/s of both, the ratio `ours_vs_lm_eval`, and how many pairs they judge differently (expected: none).

What is timed. Ours: reading the file, tokenising, scoring, accuracies. lm-evaluation-harness: its `evaluate`, that is
building the requests, tokenising, scoring, accuracies; its reading of the file (into `datasets`, as one task) takes
longer than ours and is shown apart, outside the ratio. Outside both: loading the model and the libraries. Its batch
size is the fastest of a few on a part of the pairs; it gets its choices from a function instead of a template, keeps no
samples and makes no bootstrap.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import harness, lm_harness
from benchmarks.lm_harness import OFFICIAL_BLIMP, require_lm_eval
from palenka_tune.commands.options import run
from palenka_tune.errors import UserError
from palenka_tune.evaluation.blimp import read_blimp
from palenka_tune.evaluation.suite import Paradigm

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

BATCH_SIZES = (16, 32, 64, 128, 256)
TRIAL_PAIRS = 500
TASK = "minimal_pairs"


class Ours:
    """The product's evaluator; `scores` (pairs, 2) are those of the latest round, in nats."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, file: Path, pairs: int) -> None:
        self.model, self.tokenizer, self.folder, self.pairs = model, tokenizer, file.parent, pairs
        self.scores = np.empty((0, 2))
        self.suite: Any = None

    def whole(self) -> float:
        """Pairs/s from the file to the scores."""
        from palenka_tune.evaluation.minimal_pairs import tokenise_suite

        started = time.perf_counter()
        self.suite = tokenise_suite(self.tokenizer, read_blimp(self.folder))
        self._score()
        return self.pairs / (time.perf_counter() - started)

    def next_model(self) -> float:
        """Pairs/s of a further model on the suite that is tokenised already, as at the end of a search."""
        started = time.perf_counter()
        self._score()
        return self.pairs / (time.perf_counter() - started)

    def _score(self) -> None:
        from palenka_tune.evaluation.minimal_pairs import evaluate_suite

        self.scores = evaluate_suite(self.model, self.suite).scores


class LmEval:
    """lm-evaluation-harness; `scores` as of `Ours`, `reading` the seconds that each task took to build."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, file: Path, pairs: int) -> None:
        self.model, self.tokenizer, self.file, self.pairs = model, tokenizer, file, pairs
        self.scores = np.empty((0, 2))
        self.accuracy = 0.0
        self.reading: list[float] = []
        self.trials: dict[int, float] = {}

    def choose_batch_size(self) -> None:
        """Time each batch size on at most `TRIAL_PAIRS` pairs spread over the suite; fills `trials` (pairs/s)."""
        chosen = np.linspace(0, self.pairs - 1, min(self.pairs, TRIAL_PAIRS)).astype(int).tolist()
        self._evaluate(BATCH_SIZES[0], chosen[:50])  # what only the first call pays
        for size in BATCH_SIZES:
            self.trials[size] = len(chosen) / self._evaluate(size, chosen)

    @property
    def batch_size(self) -> int:
        """The fastest that was tried."""
        return max(self.trials, key=self.trials.__getitem__)

    def whole(self) -> float:
        """Pairs/s of `evaluate`."""
        return self.pairs / self._evaluate(self.batch_size, None)

    def _evaluate(self, batch_size: int, chosen: list[int] | None) -> float:
        """Seconds of `evaluate` on the pairs `chosen` (None: all)."""
        from lm_eval.evaluator import evaluate

        with tempfile.TemporaryDirectory() as cache:
            started = time.perf_counter()
            asked = {**OFFICIAL_BLIMP, "doc_to_choice": lambda pair: [pair["sentence_good"], pair["sentence_bad"]]}
            task = lm_harness.task(TASK, self.file, Path(cache), asked)
            self.reading.append(time.perf_counter() - started)
            lm = lm_harness.language_model(self.model, self.tokenizer, batch_size)
            samples = None if chosen is None else {TASK: chosen}
            started = time.perf_counter()
            results = evaluate(lm, {"tasks": {TASK: task}}, samples=samples, bootstrap_iters=0, log_samples=False)
            seconds = time.perf_counter() - started
        self.accuracy = float(results["results"][TASK]["acc,none"])
        self.scores = np.empty((len(lm.answers) // 2, 2))
        for request, (score, _) in zip(lm.requests, lm.answers, strict=True):
            self.scores[request.doc_id, request.idx] = score
        return seconds


def compare(ours: Ours, theirs: LmEval) -> dict[str, Any]:
    """How the verdicts of all pairs agree, and how many pairs are one sentence with itself."""
    ids = ours.suite.requests.ids
    same = np.array([ids[good] == ids[bad] for good, bad in ours.suite.pairs])
    right, right_there = ours.scores[:, 0] >= ours.scores[:, 1], theirs.scores[:, 0] >= theirs.scores[:, 1]
    differ = right != right_there
    gaps = np.abs(ours.scores[:, 0] - ours.scores[:, 1])
    return {
        "pairs": len(same),
        "pairs_that_differ": int(differ.sum()),
        "widest_gap_of_those_nats": float(gaps[differ].max(initial=0.0)),
        "pairs_of_the_same_sentence": int(same.sum()),
        "largest_difference_of_a_score_nats": float(np.abs(ours.scores - theirs.scores).max()),
        "accuracy_ours": float(right.mean()),
        "accuracy_lm_eval": theirs.accuracy,
    }


def write_pairs(paradigms: Sequence[Paradigm], limit: int | None, file: Path) -> int:
    """One file for both with the first `limit` pairs of each paradigm; returns how many pairs there are."""
    lines = [
        json.dumps({"sentence_good": pair.good, "sentence_bad": pair.bad, "UID": paradigm.uid})
        for paradigm in paradigms
        for pair in paradigm.pairs[:limit]
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def random_model(preset: str, tokenizer_dir: Path, store: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A preset for babytalk, its weights drawn and enlarged until it is as sure of its tokens as a trained one."""
    import torch
    from transformers import AutoTokenizer

    from palenka_tune.models.build import build_for_store
    from palenka_tune.models.presets import get_preset

    model = build_for_store(get_preset(preset), store, seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return model, AutoTokenizer.from_pretrained(tokenizer_dir)


def measure(model_dir: str | None, pairs_dir: str | None, limit: int | None, rounds: int) -> harness.Report:
    """Run both in turn; `UserError` for a model or pairs that cannot be read."""
    version = require_lm_eval()
    from palenka_tune.data.prepare import DataSettings, prepare
    from palenka_tune.models.export import load_model

    paradigms = read_blimp(pairs_dir).paradigms if pairs_dir else None
    with tempfile.TemporaryDirectory() as scratch:
        babytalk = None if model_dir and pairs_dir else prepare(DataSettings(), scratch)
        if model_dir:
            model, tokenizer = load_model(model_dir)
        else:
            assert babytalk is not None
            model, tokenizer = random_model("Student-tiny", babytalk.tokenizer_dir, babytalk.store)
        if paradigms is None:
            assert babytalk is not None
            assert babytalk.minimal_pairs is not None
            paradigms = read_blimp(babytalk.minimal_pairs).paradigms
        file = Path(scratch) / "pairs" / "all.jsonl"
        file.parent.mkdir()
        count = write_pairs(paradigms, limit, file)
        ours, theirs = Ours(model, tokenizer, file, count), LmEval(model, tokenizer, file, count)
        ours.whole()
        theirs.choose_batch_size()
        figures = harness.paired(
            {"ours": ours.whole, "ours, next model": ours.next_model, "lm-eval": theirs.whole}, rounds
        )
    return report(figures, compare(ours, theirs), ours, theirs, version, (model_dir, pairs_dir))


def report(
    figures: dict[str, list[float]],
    verdicts: dict[str, Any],
    ours: Ours,
    theirs: LmEval,
    version: str,
    given: tuple[str | None, str | None],
) -> harness.Report:
    """Table, ratios and notes."""
    import torch

    model, pairs = (Path(path).name if path else None for path in given)
    reading = float(np.median(theirs.reading))
    return harness.Report(
        name="minimal_pairs",
        title=f"minimal pairs: {verdicts['pairs']:,} pairs, {ours.model.num_parameters():,} parameters",
        settings={
            "model": model or "Student-tiny, random weights",
            "pairs": pairs or "babytalk",
            "paradigms": len(ours.suite.suite.paradigms),
            "threads": torch.get_num_threads(),
            "lm_eval": version,
            "lm_eval_batch_size": theirs.batch_size,
        },
        columns=("contender", "pairs/s, median", "lowest", "highest"),
        rows=[
            (name, *(f"{value:,.0f}" for value in (np.median(each), min(each), max(each))))
            for name, each in figures.items()
        ],
        ratios={
            "ours_vs_lm_eval": harness.ratio(figures["ours"], figures["lm-eval"]),
            "next_model_vs_lm_eval": harness.ratio(figures["ours, next model"], figures["lm-eval"]),
        },
        aims={"ours_vs_lm_eval": harness.Aim("at least", 3)},
        details={
            "pairs_per_second": figures,
            "verdicts": verdicts,
            "lm_eval_reading_seconds": reading,
            "lm_eval_pairs_per_second_by_batch_size": theirs.trials,
        },
        notes=[
            f"pairs that are judged differently: {verdicts['pairs_that_differ']} of {verdicts['pairs']:,}; "
            f"scores differ by at most {verdicts['largest_difference_of_a_score_nats']:.1e} nats",
            f"pairs of one sentence with itself: {verdicts['pairs_of_the_same_sentence']} (a tie is right in both)",
            f"ours: reading, tokenising, scoring; lm-eval: `evaluate` alone, its reading took {reading:.2f} s more; "
            f"fastest of its batch sizes {', '.join(map(str, theirs.trials))}: {theirs.batch_size}",
        ],
    )


def main(argv: Sequence[str]) -> int:
    """Parse, measure, publish."""
    parser = harness.parser("minimal_pairs", __doc__ or "")
    parser.add_argument("--model", default=None, metavar="DIR", help="a model folder (default: a random Student-tiny)")
    parser.add_argument("--pairs", default=None, metavar="DIR", help="pairs in BLiMP's format (default: babytalk's)")
    parser.add_argument("--limit", type=int, default=None, metavar="N", help="the first N pairs of each paradigm")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--threads", type=int, default=1, help="for both (default: 1)")
    args = parser.parse_args(argv)
    for name in ("limit", "rounds", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be 1 or more")
    require_lm_eval()
    lm_harness.quiet_and_offline(args.threads)
    return measure(args.model, args.pairs, args.limit, args.rounds).publish(args.json)


if __name__ == "__main__":
    raise SystemExit(run(main))
