"""Where trials ended, over val/ce: an axis that ended trials set, points by arm, and what lies above the picture.

A trial that was stopped early, or whose training went badly, may be far above the others. It sets no axis: a triangle
at the upper edge stands for it, and its value is in the hover.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

from palenka_tune.report.charts.colours import ARM_COLOURS, ARM_SHAPES
from palenka_tune.report.charts.figure import Axis, Point, Rule, Series
from palenka_tune.report.data import RunData
from palenka_tune.trials.rows import PAUSED, PRUNED, TrialRow

STOPPED = (PRUNED, PAUSED)
FEWEST = 4  # values from which on one can be called far away
FAR = 3.0  # interquartile ranges above the upper quartile
ROOM = 0.06  # share of the axis that is free at its ends


def has_end(trial: TrialRow) -> bool:
    """Whether it has a val/ce to show: it came to its end, or was stopped or rests at a rung."""
    return math.isfinite(trial.ce) and (trial.is_complete or trial.state in STOPPED)


def ends_axis(run: RunData, title: str) -> Axis:
    """val/ce from the lowest to the highest end of a complete trial, as far as that is not far above the others."""
    whole = run.complete()
    stopped = [trial.ce for trial in run.trials if has_end(trial) and whole and trial.ce < whole[0].ce]
    bests = [trial.ce for trial in run.arms().values()]
    return axis_of([*stopped, *(trial.ce for trial in whole)], title, at_least=bests)


def axis_of(values: Iterable[float], title: str, at_least: Sequence[float] = ()) -> Axis:
    """An axis over the values, without those far above the others but for `at_least`; without ends if all are equal."""
    known = sorted(value for value in values if math.isfinite(value))
    if not known or known[0] == known[-1]:
        return Axis(title)
    high = known[-1]
    if len(known) >= FEWEST:
        low_quarter, _, high_quarter = statistics.quantiles(known, method="inclusive")
        limit = max([high_quarter + FAR * (high_quarter - low_quarter), *at_least])
        high = max(value for value in known if value <= limit)
    room = ROOM * (high - known[0])
    return Axis(title, ends=(known[0] - room, high + room))


def end_series(
    trials: Sequence[TrialRow], point: Callable[[TrialRow], Point], axis: Axis, *, marker: float, legend: bool = True
) -> list[Series]:
    """A point for each trial: of complete ones by arm, crosses for stopped ones, triangles for what is above `axis`."""
    shown = [(trial, point(trial)) for trial in trials if has_end(trial)]
    top = axis.ends[1] if axis.ends else math.inf
    series = []

    def draw(name: str, points: list[Point], colour: str, shape: str, *, faded: bool = False) -> None:
        if points:
            series.append(Series(points, name if legend else "", colour, marker=marker, shape=shape, faded=faded))

    inside = [(trial, at) for trial, at in shown if at.y <= top]
    draw("stopped early", [at for trial, at in inside if not trial.is_complete], "grey", "cross", faded=True)
    for arm, colour in ARM_COLOURS.items():
        own = [at for trial, at in inside if trial.is_complete and trial.arm == arm]
        draw(arm, own, colour, ARM_SHAPES[arm])
    edge = top - (top - axis.ends[0]) * ROOM / 3 if axis.ends else top
    draw("above the picture", [at._replace(y=edge) for _, at in shown if at.y > top], "grey", "up")
    return series


def best_rules(run: RunData, *, legend: bool = True) -> list[Rule]:
    """A line across for the best of each arm."""
    return [
        Rule(trial.ce, f"best of {arm}: {trial.ce:.3f}" if legend else "", ARM_COLOURS[arm])
        for arm, trial in run.arms().items()
    ]
