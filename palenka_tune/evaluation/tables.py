"""The printed results: a sentence a suite, and tables with a column a model.

Accuracies are in percent with standard errors, suites first, then phenomena and sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult, SuiteResults, TextResult
from palenka_tune.evaluation.suite import Suite


def suite_lines(suites: Sequence[Suite], results: Mapping[str, SuiteResults]) -> list[str]:
    """A sentence a suite: pairs read, kept, filtered out and tied, and the sets that a filter left empty."""
    lines = []
    for suite in suites:
        ties = ", ".join(
            f"{scored[suite.name].ties}{f' ({model})' if len(results) > 1 else ''}" for model, scored in results.items()
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
        _add_row(table, f"  {term} ({len(first.paradigms)} sets)", [each[term] for each in terms])
    for sets in zip(*(each.paradigms for each in scored), strict=True):
        _add_row(table, f"    {sets[0].uid}", sets)


def _add_row(
    table: Table, label: str, scored: Sequence[MinimalPairResults | ParadigmResult], style: str | None = None
) -> None:
    cells = [f"{100 * each.accuracy:.2f} {_error(each.stderr)}".rstrip() for each in scored]
    table.add_row(label, f"{scored[0].pairs:,}", *cells, style=style)


def _error(error: float | None) -> str:
    return "" if error is None else f"± {100 * error:.2f}"
