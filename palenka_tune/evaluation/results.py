"""What models scored, typed, as plain data and printed: on minimal pairs, by set, suite and model, and on text.

Accuracies and standard errors are those of the BabyLM challenge and lm-evaluation-harness. Chance is 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from palenka_tune.data.texts import Unit
from palenka_tune.evaluation.suite import Suite
from palenka_tune.words import plural

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class ParadigmResult:
    """Counts of one set of pairs. A pair is correct if the good text scores at least as high: a tie is correct."""

    uid: str
    term: str | None
    pairs: int
    correct: int
    ties: int

    @property
    def accuracy(self) -> float:
        """Share of the pairs that are correct."""
        return self.correct / self.pairs

    @property
    def stderr(self) -> float | None:
        """Standard error of the accuracy, sqrt(p (1 - p) / (n - 1)); None for a single pair."""
        if self.pairs < 2:
            return None
        return math.sqrt(self.accuracy * (1 - self.accuracy) / (self.pairs - 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("uid", "term", "pairs", "correct", "ties", "accuracy", "stderr")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class MinimalPairResults:
    """A whole suite: its sets of pairs, and `seconds` of wall time for scoring.

    `scores` (pairs, 2) are the log-probabilities in nats of good and bad text, set after set; `greedy` (pairs, 2) says
    whether each text was the model's most probable one token by token, if that was asked for. `swapped_contexts` are
    the results of the suite's other reading: for EWoK the same target after the two contexts, its authors' own score.
    """

    paradigms: tuple[ParadigmResult, ...]
    seconds: float
    scores: np.ndarray = field(default_factory=lambda: np.empty((0, 2)), compare=False, repr=False)
    greedy: np.ndarray | None = field(default=None, compare=False, repr=False)
    swapped_contexts: MinimalPairResults | None = None

    @property
    def correct(self) -> np.ndarray:
        """Which pairs (pairs,) are correct, set after set in the order of `paradigms`."""
        return self.scores[:, 0] >= self.scores[:, 1]

    @property
    def pairs(self) -> int:
        """Pairs of all paradigms."""
        return sum(paradigm.pairs for paradigm in self.paradigms)

    @property
    def ties(self) -> int:
        """Pairs whose texts score alike (counted as correct)."""
        return sum(paradigm.ties for paradigm in self.paradigms)

    @property
    def accuracy(self) -> float:
        """The suite's score as the BabyLM challenge reports it: the mean over paradigms, each weighing the same."""
        return sum(paradigm.accuracy for paradigm in self.paradigms) / len(self.paradigms)

    @property
    def pair_weighted_accuracy(self) -> float:
        """The mean over pairs, so that larger paradigms weigh more; equal to `accuracy` where all are of one size."""
        return sum(paradigm.correct for paradigm in self.paradigms) / self.pairs

    @property
    def stderr(self) -> float | None:
        """The pooled standard error that lm-evaluation-harness gives a group of tasks.

        With n_i pairs and standard error s_i, it is sqrt(sum_i (n_i - 1) n_i s_i^2 / (sum_i n_i - k) / sum_i n_i) over
        k paradigms: within-paradigm variance only, paradigms taken as fixed. None if no paradigm has two pairs. It is
        the error of the mean over pairs; that of `accuracy` is `unweighted_mean_stderr`.
        """
        spare = self.pairs - len(self.paradigms)
        if spare == 0:
            return None
        squares = sum((p.pairs - 1) * p.pairs * p.stderr**2 for p in self.paradigms if p.stderr is not None)
        return math.sqrt(squares / spare / self.pairs)

    @property
    def unweighted_mean_stderr(self) -> float | None:
        """The standard error that belongs to `accuracy`: sqrt(sum_i s_i^2) / k over k paradigms.

        None if a paradigm has a single pair, whose own error is not known.
        """
        squares = [paradigm.stderr**2 for paradigm in self.paradigms if paradigm.stderr is not None]
        return math.sqrt(sum(squares)) / len(squares) if len(squares) == len(self.paradigms) else None

    @property
    def terms(self) -> dict[str, MinimalPairResults]:
        """The sets of each phenomenon (BLiMP's `linguistics_term`) as results of their own, without scores."""
        names = dict.fromkeys(paradigm.term for paradigm in self.paradigms if paradigm.term is not None)
        return {
            name: MinimalPairResults(tuple(paradigm for paradigm in self.paradigms if paradigm.term == name), 0.0)
            for name in names
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the suite's figures first."""
        names = ("accuracy", "stderr", "unweighted_mean_stderr", "pair_weighted_accuracy", "pairs", "ties", "seconds")
        values = {name: getattr(self, name) for name in names}
        values["paradigms"] = [paradigm.to_dict() for paradigm in self.paradigms]
        values["terms"] = {
            name: {"accuracy": of.accuracy, "stderr": of.stderr, "paradigms": len(of.paradigms), "pairs": of.pairs}
            for name, of in self.terms.items()
        }
        if self.swapped_contexts is not None:
            values["same_target_after_two_contexts"] = self.swapped_contexts.to_dict()
        return values


@dataclass(frozen=True)
class SuiteResults(Mapping[str, MinimalPairResults]):
    """One model's results by the suite's name; `suites` are what was scored, with what a filter left of them."""

    suites: tuple[Suite, ...]
    results: tuple[MinimalPairResults, ...]

    def __getitem__(self, name: str) -> MinimalPairResults:
        return dict(zip(self, self.results, strict=True))[name]

    def __iter__(self) -> Iterator[str]:
        return (suite.name for suite in self.suites)

    def __len__(self) -> int:
        return len(self.suites)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: a suite's results, and how many of its pairs were read, kept and filtered out."""
        return {
            suite.name: {
                **result.to_dict(),
                "read": suite.pairs + suite.filtered_out,
                "kept": suite.pairs,
                "filtered_out": suite.filtered_out,
                "left_out": list(suite.left_out),
            }
            for suite, result in zip(self.suites, self.results, strict=True)
        }


MEASURED = ("dev", "test")
"""The splits of a corpus on which models are measured."""


@dataclass(frozen=True)
class TextResult:
    """One model on one split of a corpus (`evaluation.perplexity`).

    `predicted` of its `tokens` were predicted, in windows of `window` tokens. `lines` counts its texts, each a `unit`.
    """

    nats_per_token: float
    bits_per_byte: float
    perplexity: float
    tokens: int
    predicted: int
    bytes: int
    lines: int
    window: int
    unit: Unit = "line"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ModelScores:
    """What one model scored.

    Attributes:
        name: What tables call it: as many last parts of its path as tell the models apart.
        path: Its folder.
        suites: Results by suite; `suites["blimp"].accuracy` is from 0 to 1, with chance at 0.5.
        text: Results by split of a corpus; `text["dev"].nats_per_token`.
        notes: What a reader of the scores must know, a sentence each.
    """

    name: str
    path: str
    suites: SuiteResults
    text: dict[str, TextResult]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        text = {split: result.to_dict() for split, result in self.text.items()}
        told = {"notes": list(self.notes)} if self.notes else {}
        return {"name": self.name, "model": self.path, "suites": self.suites.to_dict(), "text": text, **told}


@dataclass(frozen=True)
class EvaluationResult(Mapping[str, ModelScores]):
    """The scores of all models, by the model's name; `models` has them in the order in which they were given.

    Attributes:
        models: A `ModelScores` each.
        suites: What they were scored on, as read and filtered.
        failed: Why a model could not be scored, by its name.
    """

    models: tuple[ModelScores, ...]
    suites: tuple[Suite, ...] = field(repr=False)
    failed: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ModelScores:
        return {each.name: each for each in self.models}[name]

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in self.models)

    def __len__(self) -> int:
        return len(self.models)

    def show(self, console: Console, *, per_set: bool = False) -> None:
        """Print the tables; `per_set` adds a row for each phenomenon and set of pairs."""
        results = {name: each.suites for name, each in self.items()}
        for line in suite_lines(self.suites, results):
            console.print(line, markup=False)
        if self.suites:
            alone = len(self.suites) == len(self.models) == 1
            console.print(accuracy_table(self.suites, results, per_set=per_set or alone))
        if any(each.text for each in self.models):
            console.print(text_table({name: each.text for name, each in self.items()}))
        for name, each in self.items():
            for note in each.notes:
                console.print(f"model {name}: {note}", markup=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; for one model and one suite its figures also stand at the top."""
        models = [each.to_dict() for each in self.models]
        failed = {"failed": dict(self.failed)} if self.failed else {}
        if len(models) == 1 and len(self.suites) == 1:
            ((name, figures),) = models[0]["suites"].items()
            return {"model": self.models[0].path, "suite": name, **figures, "models": models, **failed}
        return {"models": models, **failed}


def suite_lines(suites: Sequence[Suite], results: Mapping[str, SuiteResults]) -> list[str]:
    """A sentence a suite: pairs read, kept, filtered out and tied, and the sets that a filter left empty."""
    lines = []
    for suite in suites:
        ties = ", ".join(
            f"{scored[suite.name].ties}{f' ({model})' if len(results) > 1 else ''}" for model, scored in results.items()
        )
        lines.append(
            f"{suite.name}: {plural(suite.pairs + suite.filtered_out, 'pair')} read in "
            f"{plural(len(suite.paradigms) + len(suite.left_out), 'set')}, {suite.pairs:,} kept, "
            f"{suite.filtered_out:,} filtered out, ties {ties} (counted as right)"
        )
        if suite.left_out:
            lines.append(f"{suite.name}: left out, as the filter keeps nothing of them: {', '.join(suite.left_out)}")
    return lines


def accuracy_table(suites: Sequence[Suite], results: Mapping[str, SuiteResults], *, per_set: bool) -> Table:
    """Accuracy (%) and standard error; `per_set` adds a row a phenomenon and a row a set."""
    title = "accuracy in % (chance 50), mean over sets ± pooled standard error; for single sets ± their own"
    table = _table(title, ("suite, set", "pairs"), results)
    for suite in suites:
        scored = [models[suite.name] for models in results.values()]
        _add_suite(table, suite.name, scored, per_set)
        swapped = [each.swapped_contexts for each in scored if each.swapped_contexts is not None]
        if swapped:
            _add_suite(table, f"{suite.name}, same target, two contexts", swapped, per_set)
    return table


def text_table(results: Mapping[str, Mapping[str, TextResult]]) -> Table:
    """Figures on text by model and split."""
    table = _table("text", ("split, measure",), results)
    for split in next(iter(results.values())):
        texts = [each[split] for each in results.values()]
        table.add_section()
        table.add_row(f"{split}, nats per token", *(f"{text.nats_per_token:.4f}" for text in texts))
        table.add_row(f"{split}, perplexity per token", *(f"{text.perplexity:,.2f}" for text in texts))
        table.add_row(f"{split}, bits per byte", *(f"{text.bits_per_byte:.4f}" for text in texts))
        table.add_row(f"{split}, tokens, windows of", *(f"{text.tokens:,}, {text.window}" for text in texts))
        table.add_row(f"{split}, a text is a", *(text.unit for text in texts))
    return table


def _table(title: str, first: Sequence[str], models: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate((*first, *models)):
        table.add_column(column, justify="right" if number else "left")
    return table


def _add_suite(table: Table, name: str, scored: Sequence[MinimalPairResults], per_set: bool) -> None:
    table.add_section()
    _add_row(table, name, scored, style="bold")
    errors = [each.unweighted_mean_stderr for each in scored]
    table.add_row("  error of the mean over sets", "", *(_error(error) for error in errors))
    means = [each.pair_weighted_accuracy for each in scored]
    table.add_row("  mean over pairs", f"{scored[0].pairs:,}", *(f"{100 * mean:.2f}" for mean in means))
    if not per_set:
        return
    terms = [each.terms for each in scored]
    for term, first in terms[0].items():
        _add_row(table, f"  {term} ({plural(len(first.paradigms), 'set')})", [each[term] for each in terms])
    for sets in zip(*(each.paradigms for each in scored), strict=True):
        _add_row(table, f"    {sets[0].uid}", sets)


def _add_row(
    table: Table, label: str, scored: Sequence[MinimalPairResults | ParadigmResult], style: str | None = None
) -> None:
    cells = [f"{100 * each.accuracy:.2f} {_error(each.stderr)}".rstrip() for each in scored]
    table.add_row(label, f"{scored[0].pairs:,}", *cells, style=style)


def _error(error: float | None) -> str:
    return "" if error is None else f"± {100 * error:.2f}"
