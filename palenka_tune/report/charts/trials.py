"""What the trials of a search look like: learning curves, the best so far, settings one by one and side by side."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from palenka_tune.report.charts.colours import ARM_COLOURS
from palenka_tune.report.charts.ends import ROOM, STOPPED, axis_of, best_rules, end_series, ends_axis, has_end
from palenka_tune.report.charts.figure import (
    ALPHA,
    BETA,
    CE,
    GAP,
    Axis,
    Chart,
    Figure,
    Label,
    Plot,
    Point,
    Rule,
    Series,
)
from palenka_tune.report.data import RunData, Setting, key
from palenka_tune.report.words import described, shown
from palenka_tune.trials.rows import FAILED, TrialRow

# of the trials that were trained to the end, by rank, in the chart of all settings
BANDS = (("best tenth", 0.1, "green", 2.0), ("best third", 1 / 3, "purple", 1.4), ("the others", 1.0, "grey", 1.0))
NOWHERE = -0.14  # height of a setting that a trial does not have
FEWEST = 2  # trials with a value that a chart needs


def search_figure(run: RunData) -> Figure | None:
    """Learning curves, and where trials ended over the first weight that was searched."""
    if not any(trial.curve for trial in run.trials):
        return None
    charts = [Chart("val/ce while trials train", curves(run), 420)]
    caption = (
        "A curve has a point at each rung, where fewer dev windows may be used than at the end; those of trials that "
        "were stopped early are faded, the best of the other arms dashed. Triangles at the upper edge are stopped "
        "trials above it."
    )
    setting = main_setting(run)
    if setting is not None and any(has_end(trial) for trial in run.trials):
        charts.append(Chart(f"val/ce at the end, over {setting.short}", slice_of(run, setting), 420))
        caption += (
            f" Over {setting.short}: where each trial ended; crosses are trials that were stopped, at the rung that "
            "stopped them, and lines across the best of each arm."
        )
    return Figure("search", charts, caption)


def main_setting(run: RunData) -> Setting | None:
    """β if it was searched, else the first numeric setting."""
    numeric = [setting for setting in run.settings if setting.kind != "choice" or all(map(_is_number, setting.choices))]
    return min(numeric, key=lambda setting: setting.name != "beta", default=None)


def curves(run: RunData) -> Plot:
    """val/ce by step of every trial."""
    proposed, complete = run.trials, run.complete()
    training = [trial for trial in proposed if trial.state not in (*STOPPED, FAILED) and not trial.is_complete]
    series: list[Series] = []

    def draw(name: str, trials: Sequence[TrialRow], colour: str, line: float, **look: Any) -> None:
        if any(trial.curve for trial in trials):
            series.append(Series(_joined(trials), name, colour, line, marker=5, **look))

    stopped = [trial for trial in proposed if trial.state in STOPPED]
    draw("stopped early", stopped, "grey", 1.0, faded=True)
    draw("failed", [trial for trial in proposed if trial.state == FAILED], "purple", 1.0, faded=True)
    draw("still training", training, "green", 1.4)
    bests = run.arms()
    for arm, colour in ARM_COLOURS.items():
        draw(arm, [trial for trial in complete if trial.arm == arm and trial != bests[arm]], colour, 1.0)
    for arm, trial in bests.items():
        if trial not in complete[:1]:
            draw(f"best of {arm}", [trial], ARM_COLOURS[arm], 2.4, dashed=True)
    for trial in complete[:1]:
        draw(f"best, {trial.trial_id}", [trial], ARM_COLOURS[trial.arm], 3.2)
    highest = [max(trial.curve.values()) for trial in bests.values() if trial.curve]
    axis = axis_of((value for trial in complete for value in trial.curve.values()), CE, highest)
    if axis.ends:
        low, top = axis.ends
        edge = top - (top - low) * ROOM / 3
        above = [trial for trial in stopped if trial.curve and trial.ce > top]
        rug = [Point(max(trial.curve), edge, _at(trial, max(trial.curve))) for trial in above]
        series += [Series(rug, "above the picture", "grey", marker=7, shape="up")] if rug else []
    return Plot(Axis("optimiser step"), axis, series)


def _at(trial: TrialRow, step: int) -> str:
    return f"{trial.trial_id} ({trial.arm}), step {step:,}: {trial.curve[step]:.4f}"


def _joined(trials: Sequence[TrialRow]) -> list[Point]:
    """The curves of several trials as one line with gaps."""
    points = []
    for trial in trials:
        for step, value in sorted(trial.curve.items()):
            points.append(Point(step, value, _at(trial, step)))
        points.append(GAP)
    return points


def history_figure(run: RunData) -> Figure | None:
    """Every trial in the order in which it was proposed, and the best so far."""
    if not run.complete():
        return None
    trials, bests = run.trials, run.best_so_far()
    numbers = {trial.trial_id: number for number, trial in enumerate(trials, 1)}
    stairs = []
    for number, (before, best) in enumerate(pairwise([math.inf, *bests]), 1):
        levels = (before, best) if best < before else (best,)
        stairs += [Point(number, level) for level in levels if math.isfinite(level)]
    axis = ends_axis(run, CE)
    series = [Series(stairs, "best so far", "green", line=2.0)]
    series += end_series(
        trials, lambda trial: Point(numbers[trial.trial_id], trial.ce, _told(trial, run)), axis, marker=7
    )
    plot = Plot(Axis("trial, in the order of proposal"), axis, series, best_rules(run))
    caption = (
        "Crosses are trials that were stopped early, at the rung that stopped them: no end was seen of those. "
        "Triangles at the upper edge are trials above it."
    )
    return Figure("history", [Chart("val/ce by trial", plot, 460)], caption)


def slices_figure(run: RunData) -> Figure | None:
    """val/ce over each setting by itself."""
    ended = [trial for trial in run.trials if has_end(trial)]
    if len(ended) < FEWEST:
        return None
    charts = [
        Chart(setting.name, slice_of(run, setting, legend=False), 300)
        for setting in run.settings
        if any(setting.name in trial.settings for trial in ended)
    ]
    caption = (
        "val/ce over one setting at a time, whatever the others were, of the trials that have it: red diamonds are "
        "plain, gold squares logits, blue circles hidden; faded crosses were stopped early, triangles are above the "
        "picture, dashed lines the best of each arm. Points of a choice are spread sideways."
    )
    return Figure("slices", charts, caption, columns=3) if charts else None


def slice_of(run: RunData, setting: Setting, *, legend: bool = True) -> Plot:
    """Where trials ended over one setting."""
    places = places_of(setting, run.trials)
    jitter = random.Random(0)

    def point(trial: TrialRow) -> Point:
        value = trial.settings[setting.name]
        x = float(value) if places is None else places[key(value)][0] + jitter.uniform(-0.18, 0.18)
        hover = f"{trial.trial_id} ({trial.arm}): {trial.ce:.4f}\n{setting.short} {shown(value, setting.name)}"
        return Point(x, trial.ce, hover)

    trials = [trial for trial in run.trials if setting.name in trial.settings]
    axis_of_ce = ends_axis(run, CE if legend else "val/ce")
    series = end_series(trials, point, axis_of_ce, marker=8, legend=legend)
    title = {"alpha": ALPHA, "beta": BETA}.get(setting.name, setting.short)
    if places is None:
        axis = Axis(title, log=setting.kind == "log_uniform")
    else:
        axis = Axis(title, ticks=tuple(places.values()), ends=(-0.5, len(places) - 0.5))
    return Plot(axis, axis_of_ce, series, best_rules(run, legend=legend))


def parallel_figure(run: RunData) -> Figure | None:
    """Every trial that was trained to the end as a line over all settings, the best ones in other colours."""
    trials = run.complete()
    settings = [setting for setting in run.settings if any(setting.name in trial.settings for trial in trials)]
    if len(trials) < FEWEST or len(settings) < 2:
        return None
    low, high = trials[0].ce, trials[-1].ce
    ends = {trial.trial_id: 0.5 if high == low else (trial.ce - low) / (high - low) for trial in trials}
    marks = [(0.0, f"{low:.3f}"), (1.0, f"{high:.3f}")] if high > low else []
    axes = [*(_heights(run, setting, trials) for setting in settings), (ends, marks)]
    series: list[Series] = []
    first = 0
    for name, share, colour, width in BANDS:
        last = max(first, math.ceil(share * len(trials)))
        points: list[Point] = []
        for trial in trials[first:last]:
            told = _told(trial, run)
            points += [Point(at, heights.get(trial.trial_id, NOWHERE), told) for at, (heights, _) in enumerate(axes)]
            points.append(GAP)
        if points:
            series.insert(0, Series(points, name, colour, line=width, marker=4, faded=colour == "grey"))
        first = last
    names = [*(setting.short for setting in settings), "val/ce"]
    plot = Plot(
        Axis(ticks=tuple(enumerate(names)), ends=(-0.4, len(settings) + 0.4)),
        Axis(ticks=(), ends=(NOWHERE - 0.08, 1.08)),
        series,
        [Rule(place, upright=True, dashed=False) for place in range(len(axes))],
        [
            *(Label(place, height, text) for place, (_, marks) in enumerate(axes) for height, text in marks),
            *(Label(place, NOWHERE, "n/a") for place, (heights, _) in enumerate(axes) if len(heights) < len(trials)),
        ],
    )
    caption = (
        "A line is a trial that was trained to the end, from its settings to its val/ce (the lower the better). At n/a "
        "pass the trials that do not have a setting. Tap a name in the legend to hide those trials."
    )
    chart = Chart("all settings side by side", plot, 460, min_width=88 * len(axes))
    return Figure("parallel", [chart], caption)


def _heights(
    run: RunData, setting: Setting, trials: Sequence[TrialRow]
) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """Where trials cross a setting's axis, from 0 to 1, and the marks on it."""
    values = {trial.trial_id: trial.settings[setting.name] for trial in trials if setting.name in trial.settings}
    places = places_of(setting, run.trials)
    if places is not None:
        top = len(places) - 1
        scale = {choice: place / top if top else 0.5 for choice, (place, _) in places.items()}
        heights = {trial: scale[key(value)] for trial, value in values.items()}
        return heights, [(scale[choice], text) for choice, (_, text) in places.items()]
    log = setting.kind == "log_uniform"
    measure = math.log if log else float
    low, high = measure(setting.low), measure(setting.high)
    middle = math.exp((low + high) / 2) if log else (low + high) / 2
    # a fixed value may lie outside of what is searched
    heights = {
        trial: (measure(min(max(value, setting.low), setting.high)) - low) / (high - low or 1.0)
        for trial, value in values.items()
    }
    return heights, [(0.0, f"{setting.low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{setting.high:.3g}")]


def places_of(setting: Setting, trials: Sequence[TrialRow]) -> dict[str, tuple[float, str]] | None:
    """{choice: (place on an axis, text)} of a choice, numbers in order; None for a range, which is its own axis.

    A space may have been cut down later, so that trials have values that are no choices any more.
    """
    if setting.kind != "choice":
        return None
    tried = [trial.settings[setting.name] for trial in trials if setting.name in trial.settings]
    values = {key(value): value for value in (*setting.choices, *tried)}.values()
    ordered = sorted(values, key=lambda value: value if _is_number(value) else math.inf)
    return {key(value): (float(place), shown(value, setting.name)) for place, value in enumerate(ordered)}


def _told(trial: TrialRow, run: RunData) -> str:
    """A trial on two lines."""
    return f"{trial.trial_id} ({trial.arm}): val/ce {trial.ce:.4f}\n{described(trial.settings, run.settings)}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
