"""The printed results: one table with a column a model.

In: results by model. Out: `rich` tables: what was read and kept of each suite, then accuracies in percent with standard
errors, suites first, then phenomena and sets, then the figures on text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table

from palenka_tune.evaluation.results import MinimalPairResults
from palenka_tune.evaluation.suite import Suite
from palenka_tune.evaluation.suites import SuiteResults
from palenka_tune.evaluation.text import TextResult

SWAPPED_LABEL = "same target, two contexts"


def suite_lines(suites: Sequence[Suite], results: Mapping[str, SuiteResults]) -> list[str]:
    """A sentence a suite: pairs read, kept, filtered out and tied, and the sets that a filter left empty."""
    lines = []
    for suite in suites:
        ties = ", ".join(
            f"{found[suite.name].ties}{f' ({model})' if len(results) > 1 else ''}" for model, found in results.items()
        )
        lines.append(
            f"{suite.name}: {suite.pairs + suite.filtered_out:,} pairs read in "
            f"{len(suite.paradigms) + len(suite.left_out)} sets, {suite.pairs:,} kept, {suite.filtered_out:,} filtered "
            f"out, ties {ties} (counted as right)"
        )
        if suite.left_out:
            lines.append(f"{suite.name}: left out, as the filter keeps nothing of them: {', '.join(suite.left_out)}")
    return lines


def accuracy_table(suites: Sequence[Suite], results: Mapping[str, SuiteResults], *, per_set: bool) -> Table:
    """Accuracy (%) and standard error; `per_set` adds a row a phenomenon and a row a set."""
    table = Table(
        title="accuracy in % (chance 50), mean over sets ± pooled standard error; for single sets ± their own",
        title_justify="left",
    )
    table.add_column("suite, set")
    table.add_column("pairs", justify="right")
    for model in results:
        table.add_column(model, justify="right")
    for suite in suites:
        found = [models[suite.name] for models in results.values()]
        _block(table, suite.name, found, per_set)
        swapped = [each.swapped_contexts for each in found if each.swapped_contexts is not None]
        if swapped:
            _block(table, f"{suite.name}, {SWAPPED_LABEL}", swapped, per_set)
    return table


def _block(table: Table, name: str, found: Sequence[MinimalPairResults], per_set: bool) -> None:
    table.add_section()
    pairs = f"{found[0].pairs:,}"
    table.add_row(name, pairs, *(_percent(each.accuracy, each.stderr) for each in found), style="bold")
    table.add_row("  error of the mean over sets", "", *(_error(each.unweighted_mean_stderr) for each in found))
    table.add_row("  mean over pairs", pairs, *(_percent(each.pair_weighted_accuracy, None) for each in found))
    if not per_set:
        return
    terms = [each.terms for each in found]
    for term, first in terms[0].items():
        cells = [_percent(each[term].accuracy, each[term].stderr) for each in terms]
        table.add_row(f"  {term} ({len(first.paradigms)} sets)", f"{first.pairs:,}", *cells)
    for number, paradigm in enumerate(found[0].paradigms):
        cells = [_percent(each.paradigms[number].accuracy, each.paradigms[number].stderr) for each in found]
        table.add_row(f"    {paradigm.uid}", f"{paradigm.pairs:,}", *cells)


def text_table(results: Mapping[str, Mapping[str, TextResult]]) -> Table:
    """Figures on text by model and split."""
    table = Table(title="text", title_justify="left")
    table.add_column("split, measure")
    for model in results:
        table.add_column(model, justify="right")
    measures: tuple[tuple[str, Callable[[TextResult], str]], ...] = (
        ("nats per token", lambda found: f"{found.nats_per_token:.4f}"),
        ("perplexity per token", lambda found: f"{found.perplexity:,.2f}"),
        ("bits per byte", lambda found: f"{found.bits_per_byte:.4f}"),
        ("tokens, windows of", lambda found: f"{found.tokens:,}, {found.window}"),
    )
    for split in next(iter(results.values())):
        table.add_section()
        for label, show in measures:
            table.add_row(f"{split}, {label}", *(show(each[split]) for each in results.values()))
    return table


def _percent(value: float, error: float | None) -> str:
    return f"{100 * value:.2f}" + ("" if error is None else f" ± {100 * error:.2f}")


def _error(value: float | None) -> str:
    return "" if value is None else f"± {100 * value:.2f}"
