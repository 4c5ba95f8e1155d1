"""What was found, as charts: the finalists' intervals, and the best trial beside the anchors."""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.report.charts.figure import CE, Axis, Chart, Figure, Plot, Point, Rule, Series, rows_axis
from palenka_tune.report.data import ANCHOR_NAMES, VAL_CE, Contrast, RunData
from palenka_tune.report.words import display_name


def contrasts_figure(run: RunData) -> Figure | None:
    """Finalists minus vanilla KD, a chart for each measure, with the intervals over paired seeds."""
    if run.finalists is None or not run.finalists.contrasts:
        return None
    contrasts = run.finalists.contrasts
    charts = [
        _contrasts([contrast for contrast in contrasts if contrast.measure == measure], measure)
        for measure in dict.fromkeys(contrast.measure for contrast in contrasts)
    ]
    caption = (
        "Each configuration minus vanilla KD, which is the line at 0. Bars are 95 % intervals of the mean over paired "
        "seeds, small points the seeds. A bar that holds 0 tells nothing apart. Cross-entropy is better to the left, "
        "accuracy to the right."
    )
    return Figure("finalists", charts, caption)


def _contrasts(contrasts: Sequence[Contrast], measure: str) -> Chart:
    title, unit, factor, digits = "dev cross-entropy", "nats per token", 1.0, 4
    if measure != VAL_CE:
        title, unit, factor, digits = measure.replace("_", " "), "points", 100.0, 1
    hover = []
    for each in contrasts:
        interval = ", no interval"
        if each.low is not None and each.high is not None:
            interval = f" ({factor * each.low:+.{digits}f} to {factor * each.high:+.{digits}f})"
        hover.append(f"{display_name(each.config)}: {factor * each.mean:+.{digits}f} {unit}{interval}")
    seeds = [Point(factor * value, row + 0.22) for row, each in enumerate(contrasts) for value in each.seeds]
    series = [Series(seeds, "", "grey", marker=5), mean_series(contrasts, hover, factor)]
    plot = against_zero(f"minus vanilla KD ({unit})", [display_name(each.config) for each in contrasts], series)
    return Chart(f"{title}, minus vanilla KD", plot, 150 + 46 * len(contrasts))


def mean_series(contrasts: Sequence[Contrast], hover: Sequence[str], factor: float = 1.0) -> Series:
    """A row for each contrast: its mean, on its interval if it has one."""
    points = []
    for row, (each, text) in enumerate(zip(contrasts, hover, strict=True)):
        low, high = (factor * (each.mean if end is None else end) for end in (each.low, each.high))
        points.append(Point(factor * each.mean, row, text, low, high))
    return Series(points, marker=10)


def against_zero(title: str, names: Sequence[str], series: Sequence[Series]) -> Plot:
    """A row for each name, over the line at 0."""
    return Plot(Axis(title), rows_axis(names), series, [Rule(0.0, upright=True, dashed=False)])


def best_figure(run: RunData) -> Figure | None:
    """One seed each: the best trial, the anchors and the teachers on dev. For a search without finalists."""
    dots = [(display_name(each.name), each.val_ce, each.role) for each in run.models if each.seeds == 1]
    if not dots:
        dots = [(f"best, {trial.trial_id}", trial.val_ce, "student") for trial in run.complete()[:1]]
        dots += [(ANCHOR_NAMES[name], trial.val_ce, "anchor") for name, trial in run.anchors().items()]
    rows = [(name, value, role) for name, value, role in dots if value is not None]
    if not rows:
        return None
    colours = {"anchor": "gold", "teacher": "purple"}
    series = [
        Series([Point(value, row, f"{name}: {value:.4f}")], "", colours.get(role, "blue"), marker=12)
        for row, (name, value, role) in enumerate(rows)
    ]
    plot = Plot(Axis(CE), rows_axis([name for name, _, _ in rows]), series)
    caption = "One seed each, so there are no intervals: small differences may turn around with another seed."
    return Figure("best", [Chart("the best trial beside the anchors", plot, 120 + 36 * len(rows))], caption)
