"""Several runs beside each other, as charts: how fast each came down, the best of its arms, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from palenka_tune.report.charts.colours import ARM_COLOURS, ARM_SHAPES, PALETTE
from palenka_tune.report.charts.figure import CE, Axis, Chart, Figure, Plot, Point, Series, rows_axis
from palenka_tune.report.charts.outcome import intervals_plot
from palenka_tune.report.data import RunData
from palenka_tune.trials.metrics import TEST_CE, VAL_CE

COLOURS, SHAPES = tuple(PALETTE), ("circle", "square", "diamond")


def runs_by_steps_figure(runs: Sequence[RunData]) -> Figure | None:
    """The lowest val/ce of a finished trial, over the steps that all trials have run until then."""
    series = []
    for number, run in enumerate(runs):
        spent = accumulate(trial.steps for trial in run.trials)
        pairs = zip(spent, run.best_so_far(), strict=True)
        points = [Point(steps, best) for steps, best in pairs if math.isfinite(best)]
        if points:
            colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
            series.append(Series(points, run.name, colour, line=2.0, marker=5, shape=shape))
    if not series:
        return None
    plot = Plot(Axis("optimiser steps of all trials so far"), Axis("best val/ce so far (nats per token)"), series)
    caption = "What each run had found after how much training, its trials in the order of proposal."
    return Figure("runs_by_steps", [Chart("best so far, by training", plot, 400)], caption)


def runs_and_arms_figure(runs: Sequence[RunData]) -> Figure | None:
    """The best of each arm, a row for each run."""
    rows = [run for run in runs if run.complete()]
    if not rows:
        return None
    series = []
    for arm, colour in ARM_COLOURS.items():
        points = [
            Point(best[arm].ce, row, f"{run.name}, best of {arm}: {best[arm].ce:.4f}")
            for row, run in enumerate(rows)
            if arm in (best := run.arms())
        ]
        if points:
            series.append(Series(points, f"best of {arm}", colour, marker=11, shape=ARM_SHAPES[arm]))
    plot = Plot(Axis(CE), rows_axis([run.name for run in rows]), series)
    chart = Chart("the best of each arm of each run", plot, 170 + 44 * len(rows))
    caption = "One seed each. Runs on other data or windows have other levels; look at the distances within a row."
    return Figure("runs_and_arms", [chart], caption)


def runs_contrasts_figure(runs: Sequence[RunData]) -> Figure | None:
    """The verdicts of all runs: their arms minus each other, with intervals."""
    rows = [
        (f"{run.name}: {each.name}", f"{run.name}, {each.name}: {each.mean:+.4f}", each)
        for run in runs
        for each in (run.finalists.contrasts if run.finalists else ())
        if each.measure in (VAL_CE, TEST_CE)
    ]
    if not rows:
        return None
    plot = intervals_plot("difference in cross-entropy (nats per token)", rows)
    chart = Chart("arm minus arm, of every run", plot, 150 + 44 * len(rows))
    caption = "Bars are 95 % intervals over paired seeds within a run; one that holds 0 tells nothing apart."
    return Figure("runs_finalists", [chart], caption)
