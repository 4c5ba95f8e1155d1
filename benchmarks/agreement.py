"""Whether our evaluator and lm-evaluation-harness say the same: every pair, every accuracy, every standard error.

In: models, and a folder that holds a folder a suite. Out: for each model and suite how many predictions differ and by
how much each figure does; exit code 1 if a prediction differs, or a figure by more than 1e-9.

The harness runs its own tasks with its own `hf` model: BLiMP and the supplement as its task `blimp` asks, EWoK with the
context as text and the targets as choices, and EWoK's other score with the two contexts as inputs and one target. Its
groups give the mean over sets with its standard error (unweighted), and the mean over pairs with the pooled one. The
items for EWoK are of our own making (`benchmarks.ewok_items`), unless the folder holds `ewok/`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import harness
from benchmarks.ewok_items import write_items
from benchmarks.lm_harness import OFFICIAL_BLIMP, language_model, quiet_and_offline, require_lm_eval, task
from palenka_tune.commands.options import run
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Suite
from palenka_tune.evaluation.suites import read_suites

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from palenka_tune.evaluation.results import MinimalPairResults

TOLERANCE = 1e-9
SUITES = "blimp,blimp_supplement,ewok"
RANDOM = ("GPT2-tiny", "Student-tiny")
EWOK = {
    "doc_to_text": "{{Context1}}",
    "doc_to_target": 0,
    "doc_to_choice": "{{[Target1, Target2]}}",
}
EWOK_SWAPPED: dict[str, Callable[..., Any]] = {
    "doc_to_text": lambda item: 0,  # a number: the harness then puts the choices before the target
    "doc_to_target": lambda item: item["Target1"],
    "doc_to_choice": lambda item: [item["Context1"], item["Context2"]],
}


def limited(suite: Suite, limit: int | None) -> Suite:
    """The first `limit` pairs of each set, and all pairs whose two texts are the same."""

    def first(paradigms: Sequence[Paradigm]) -> tuple[Paradigm, ...]:
        kept = []
        for paradigm in paradigms:
            ties = [
                pair
                for pair in paradigm.pairs[limit:]
                if (pair.good, pair.good_context) == (pair.bad, pair.bad_context)
            ]
            kept.append(replace(paradigm, pairs=(*paradigm.pairs[:limit], *ties)))
        return tuple(kept)

    if limit is None:
        return suite
    return replace(suite, paradigms=first(suite.paradigms), swapped_contexts=first(suite.swapped_contexts))


def document(pair: MinimalPair, *, swapped: bool) -> dict[str, str]:
    """What the harness reads of a pair."""
    if swapped:
        return {"Context1": pair.good_context, "Context2": pair.bad_context, "Target1": pair.good}
    if pair.good_context:
        return {"Context1": pair.good_context, "Target1": pair.good, "Target2": pair.bad}
    return {"sentence_good": pair.good, "sentence_bad": pair.bad}


class Theirs:
    """lm-evaluation-harness on one suite: `tasks` made once, `evaluate` for each model."""

    def __init__(self, name: str, paradigms: Sequence[Paradigm], scratch: Path, *, swapped: bool) -> None:
        from lm_eval.api.group import Group
        from lm_eval.config.group import AggMetricConfig

        self.tasks = {}
        for paradigm in paradigms:
            file = scratch / name / f"{paradigm.uid}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(document(pair, swapped=swapped)) for pair in paradigm.pairs]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            asked: Mapping[str, Any] = OFFICIAL_BLIMP
            if paradigm.pairs[0].good_context:
                asked = EWOK_SWAPPED if swapped else EWOK
            self.tasks[paradigm.uid] = task(f"{name}_{paradigm.uid}", file, scratch / "datasets", asked)
        self.groups = {}
        for kind, weighted in (("unweighted", False), ("weighted", True)):
            group = Group(kind, aggregate_metric_list=[AggMetricConfig("acc", weight_by_size=weighted)])
            for each in self.tasks.values():
                group.add(each)
            self.groups[kind] = group

    def evaluate(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
        """What the harness's `evaluate` gives; the scores of all pairs (pairs, 2) as `scores`."""
        from lm_eval.evaluator import evaluate

        for each in self.tasks.values():
            each._instances = None  # of the model before
        lm = language_model(model, tokenizer, 64)
        tasks = {each.task_name: each for each in self.tasks.values()}
        found = evaluate(lm, {"tasks": tasks, "groups": self.groups}, bootstrap_iters=1, log_samples=True)
        samples = [line for name in tasks for line in sorted(found["samples"][name], key=lambda line: line["doc_id"])]
        scores = [[answer[0] for answer in line["filtered_resps"]] for line in samples]
        return {**found, "right": np.array([line["acc"] == 1.0 for line in samples]), "scores": np.array(scores)}


def compare(ours: MinimalPairResults, theirs: Mapping[str, Any], tasks: Mapping[str, Any]) -> dict[str, Any]:
    """How many predictions differ, and each figure's largest difference."""
    differ = ours.correct != theirs["right"]
    gaps = np.abs(ours.scores[:, 0] - ours.scores[:, 1])
    results = theirs["results"]
    sets = [results[tasks[paradigm.uid].task_name] for paradigm in ours.paradigms]
    unweighted, weighted = results["unweighted"], results["weighted"]

    def apart(mine: float | None, other: float | str) -> float:
        return float("inf") if mine is None or isinstance(other, str) else abs(mine - float(other))

    singles = [number for number, paradigm in enumerate(ours.paradigms) if paradigm.pairs < 2]
    errors = [
        0.0 if number in singles and each["acc_stderr,none"] == "N/A" else apart(mine.stderr, each["acc_stderr,none"])
        for number, (mine, each) in enumerate(zip(ours.paradigms, sets, strict=True))
    ]
    return {
        "sets": len(sets),
        "pairs": ours.pairs,
        "ties": ours.ties,
        "predictions_that_differ": int(differ.sum()),
        "where": [int(number) for number in np.flatnonzero(differ)[:20]],
        "widest_gap_of_those_nats": float(gaps[differ].max(initial=0.0)),
        "largest_difference_of_a_score_nats": float(np.abs(ours.scores - theirs["scores"]).max()),
        "accuracy": ours.accuracy,
        "differences": {
            "accuracy_of_a_set": max(
                apart(mine.accuracy, each["acc,none"]) for mine, each in zip(ours.paradigms, sets, strict=True)
            ),
            "stderr_of_a_set": max(errors),
            "mean_over_sets": apart(ours.accuracy, unweighted["acc,none"]),
            "its_stderr": 0.0 if singles else apart(ours.unweighted_mean_stderr, unweighted["acc_stderr,none"]),
            "mean_over_pairs": apart(ours.pair_weighted_accuracy, weighted["acc,none"]),
            "pooled_stderr": 0.0 if singles else apart(ours.stderr, weighted["acc_stderr,none"]),
        },
    }


def agrees(found: Mapping[str, Any]) -> bool:
    """Whether nothing differs."""
    return not found["predictions_that_differ"] and max(found["differences"].values()) <= TOLERANCE


def models(folders: Sequence[str], scratch: Path) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """A loader for each model folder; without folders, for two random models with babytalk's tokenizer."""
    from benchmarks.minimal_pairs import random_model
    from palenka_tune.data.prepare import DataSettings, prepare
    from palenka_tune.models.export import load_model

    if folders:
        return {folder: lambda folder=folder: load_model(folder) for folder in folders}
    made = prepare(DataSettings(), scratch / "babytalk")
    return {f"random {name}": lambda name=name: random_model(name, made.tokenizer_dir, made.store) for name in RANDOM}


def measure(folders: Sequence[str], source: str, names: Sequence[str], limit: int | None) -> list[dict[str, Any]]:
    """A record for each model and suite; EWoK gives two."""
    from palenka_tune.evaluation.minimal_pairs import evaluate, tokenise_suite

    found = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        suites = []
        for name in names:
            where = Path(source)
            if name == "ewok" and not (where / name).is_dir():
                where = scratch / "made"
                print(f"{write_items(where / name)} items in EWoK's format, of our own making")
            suites += [limited(suite, limit) for suite in read_suites([name], where)]
        readings = [(suite.name, suite.paradigms, False) for suite in suites]
        readings += [(f"{s.name}_swapped_contexts", s.swapped_contexts, True) for s in suites if s.swapped_contexts]
        theirs = {name: Theirs(name, sets, scratch, swapped=swapped) for name, sets, swapped in readings}
        for label, load in models(folders, scratch).items():
            model, tokenizer = load()
            results = evaluate(model, [tokenise_suite(tokenizer, suite) for suite in suites])
            ours = dict(results)
            ours |= {f"{n}_swapped_contexts": r.swapped_contexts for n, r in results.items() if r.swapped_contexts}
            for name, side in theirs.items():
                record = compare(ours[name], side.evaluate(model, tokenizer), side.tasks)
                found.append({"model": label, "suite": name, **record})
                print(f"{label}, {name}: {'the same' if agrees(record) else 'DIFFERENT'}", flush=True)
    return found


def show(found: Sequence[Mapping[str, Any]]) -> Table:
    """The printed table."""
    columns = (
        "sets",
        "pairs",
        "ties",
        "accuracy (%)",
        "predictions that differ",
        "largest difference",
        "of scores (nats)",
    )
    table = Table(title="ours and lm-evaluation-harness", title_justify="left")
    for number, column in enumerate(("model", "suite", *columns)):
        table.add_column(column, justify="left" if number < 2 else "right")
    for each in found:
        table.add_row(
            Path(each["model"]).name,
            each["suite"],
            *(f"{each[name]:,}" for name in ("sets", "pairs", "ties")),
            f"{100 * each['accuracy']:.2f}",
            str(each["predictions_that_differ"]),
            f"{max(each['differences'].values()):.1e}",
            f"{each['largest_difference_of_a_score_nats']:.1e}",
        )
    return table


def main(argv: Sequence[str]) -> int:
    """Parse, compare, print; 1 if anything differs."""
    parser = harness.parser("agreement", __doc__ or "")
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="DIR", help=f"model folders (default: random {' and '.join(RANDOM)})"
    )
    parser.add_argument("--source", required=True, metavar="DIR", help="a folder that holds a folder a suite")
    parser.add_argument("--suites", default=SUITES, metavar="NAME[,NAME...]", help=f"default: {SUITES}")
    parser.add_argument("--limit", type=int, default=None, metavar="N", help="the first N pairs of each set, and ties")
    parser.add_argument("--threads", type=int, default=1, help="for both (default: 1)")
    args = parser.parse_args(argv)
    for name in ("limit", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be 1 or more")
    version = require_lm_eval()
    quiet_and_offline(args.threads)
    found = measure(args.models, args.source, args.suites.split(","), args.limit)
    Console(highlight=False, soft_wrap=True, width=140).print(show(found))
    same = all(map(agrees, found))
    for each in found:
        if not agrees(each):
            print(f"{each['model']}, {each['suite']}: {json.dumps(each, indent=2)}")
    print("all predictions and figures are the same" if same else "ours and lm-evaluation-harness differ")
    if args.json:
        report = {"benchmark": "agreement", "lm_eval": version, "limit": args.limit, "same": same, "found": found}
        Path(args.json).write_text(json.dumps({**report, "machine": harness.machine()}, indent=2) + "\n", "utf-8")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(run(main))
