"""What was found, as charts: the intervals of the arms' differences, and the best trial of each arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from palenka_tune.report.charts.colours import ARM_COLOURS, ARM_SHAPES
from palenka_tune.report.charts.figure import CE, Axis, Chart, Figure, Plot, Point, Rule, Series, rows_axis
from palenka_tune.report.data import Contrast, RunData
from palenka_tune.trials.metrics import METRICS, metric

READ = (
    "The best of an arm minus the best of another. Bars are 95 % intervals of the mean over paired fresh seeds, small "
    "points the seeds. A bar that holds 0 tells nothing apart."
)


def contrasts_figure(run: RunData) -> Figure | None:
    """The arms minus each other in cross-entropy, with the intervals over paired fresh seeds."""
    charts = [chart for measure, chart in _contrasts(run) if measure in METRICS]
    caption = f"{READ} Left of 0 the first arm is better."
    if run.finalists and run.finalists.margin:
        caption += f" Within ±{run.finalists.margin:g}, between the dashed lines, two arms count as equivalent."
    return Figure("finalists", charts, caption) if charts else None


def accuracies_figure(run: RunData) -> Figure | None:
    """The same in accuracy, a chart for each suite of minimal pairs."""
    charts = [chart for measure, chart in _contrasts(run) if measure not in METRICS]
    return Figure("finalists_accuracy", charts, f"{READ} Right of 0 the first arm is better.") if charts else None


def _contrasts(run: RunData) -> Iterator[tuple[str, Chart]]:
    """(measure, chart) of what the arms were compared by."""
    contrasts = run.finalists.contrasts if run.finalists else ()
    for measure in dict.fromkeys(contrast.measure for contrast in contrasts):
        margin = run.finalists.margin if run.finalists and measure in METRICS else None
        yield measure, _chart([contrast for contrast in contrasts if contrast.measure == measure], measure, margin)


def _chart(contrasts: Sequence[Contrast], measure: str, margin: float | None) -> Chart:
    known = metric(measure)
    title, unit, factor, digits = known.label, known.difference_unit, known.scale, known.digits
    rows = []
    for each in contrasts:
        name, interval = each.name, ", no interval"
        if each.low is not None and each.high is not None:
            interval = f" ({factor * each.low:+.{digits}f} to {factor * each.high:+.{digits}f})"
        rows.append((name, f"{name}: {factor * each.mean:+.{digits}f} {unit}{interval}", each))
    seeds = [Point(factor * value, row + 0.22) for row, each in enumerate(contrasts) for value in each.seeds]
    plot = intervals_plot(f"difference ({unit})", rows, factor, seeds)
    if margin:
        plot = dataclasses.replace(
            plot, rules=[*plot.rules, *(Rule(end, upright=True, colour="grey") for end in (-margin, margin))]
        )
    return Chart(f"{title}, arm minus arm", plot, 150 + 46 * len(contrasts))


def intervals_plot(
    title: str, rows: Sequence[tuple[str, str, Contrast]], factor: float = 1.0, seeds: Sequence[Point] = ()
) -> Plot:
    """A row for each (name, hover, contrast): the mean, on its interval if it has one, over the line at 0."""
    points = []
    for row, (_, hover, each) in enumerate(rows):
        low, high = (factor * (each.mean if end is None else end) for end in (each.low, each.high))
        points.append(Point(factor * each.mean, row, hover, low, high))
    series = [Series(seeds, "", "grey", marker=5)] if seeds else []
    series.append(Series(points, marker=10))
    up = rows_axis([name for name, _, _ in rows])
    return Plot(Axis(title), up, series, [Rule(0.0, upright=True, dashed=False)])


def best_figure(run: RunData) -> Figure | None:
    """One seed each: the best trial of each arm and the teachers on dev. For a search without fresh seeds."""
    dots = [(each.name, each.val_ce, each.role) for each in run.models if each.seeds == 1]
    if not dots:
        dots = [(f"best of {arm}, {trial.trial_id}", trial.val_ce, arm) for arm, trial in run.arms().items()]
    rows = [(name, value, role) for name, value, role in dots if value is not None]
    if not rows:
        return None
    colours = {**ARM_COLOURS, "teacher": "purple"}
    series = [
        Series(
            [Point(value, row, f"{name}: {value:.4f}")],
            colour=colours.get(role, "blue"),
            marker=12,
            shape=ARM_SHAPES.get(role, "circle"),
        )
        for row, (name, value, role) in enumerate(rows)
    ]
    plot = Plot(Axis(CE), rows_axis([name for name, _, _ in rows]), series)
    caption = "One seed each, so there are no intervals: small differences may turn around with another seed."
    return Figure("best", [Chart("the best trial of each arm", plot, 120 + 36 * len(rows))], caption)
