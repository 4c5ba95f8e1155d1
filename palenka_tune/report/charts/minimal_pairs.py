"""Accuracies on minimal pairs, as heat maps: a column for each model, a row for each phenomenon or set."""

from __future__ import annotations

import math
from collections.abc import Sequence

from palenka_tune.report.charts.figure import NAN, Cell, Chart, Figure, HeatMap
from palenka_tune.report.data import Model, Paradigm, RunData, suites_of
from palenka_tune.report.words import percent

MOST_MODELS = 5  # columns of a heat map that a phone has room for
CAPTION = (
    "Share of the pairs, in percent, whose acceptable text is the likelier one; 50 is chance, where the colours meet. "
    "Behind ± is the standard error over the pairs of that set; of a mean over seeds it is that of one student. It "
    "says nothing of what another training would give."
)


def pairs_figures(run: RunData) -> list[Figure]:
    """For each suite the accuracy of every model by phenomenon, if it has those, and by set."""
    figures = []
    for suite in suites_of(run.models):
        scores = [(_column(model), model.suites[suite].paradigms) for model in run.models if suite in model.suites]
        charts = [
            chart
            for what, attribute, height in (("phenomenon", "term", 30), ("set", "name", 34))
            if (chart := _pairs(f"{suite}, by {what}", scores, attribute, height))
        ]
        if charts:
            name = "".join(letter if letter.isalnum() else "_" for letter in suite)
            columns = 2 if len(scores) <= MOST_MODELS else 1  # what is wide gets the whole line
            figures.append(Figure(f"minimal_pairs_{name}", charts, CAPTION, columns))
    return figures


def _pairs(title: str, scores: Sequence[tuple[str, Sequence[Paradigm]]], attribute: str, height: int) -> Chart | None:
    """A chart with a row, `height` pixels high, for each value of the paradigms' `attribute`; None without any."""
    names = list(dict.fromkeys(name for _, sets in scores for each in sets if (name := getattr(each, attribute))))
    cells = [
        [_cell(name, column, [each for each in sets if getattr(each, attribute) == name]) for column, sets in scores]
        for name in names
    ]
    rows = [name.replace("_", " ") if attribute == "term" else name for name in names]
    heat = HeatMap(rows, [column for column, _ in scores], cells, "around_chance")
    wide = 0 if len(scores) <= MOST_MODELS else 140 + 48 * len(scores)
    return Chart(title, heat, 110 + height * len(names), wide) if names else None


def _column(model: Model) -> str:
    name = model.name
    return f"{name}, {model.seeds} seeds" if model.seeds > 1 else name


def _cell(name: str, column: str, sets: Sequence[Paradigm]) -> Cell:
    """The mean accuracy over sets and its standard error, which is not known if one of them has none."""
    if not sets:
        return Cell(NAN, "", f"{name}\n{column}: not scored")
    accuracy = sum(each.accuracy for each in sets) / len(sets)
    errors = [each.stderr for each in sets if each.stderr is not None]
    error = math.sqrt(sum(error**2 for error in errors)) / len(sets) if len(errors) == len(sets) else None
    whole, exact = (percent(accuracy, error, digits).replace("± ", "±") for digits in (0, 1))
    return Cell(accuracy, whole, f"{name}\n{column}: {exact} %")
