"""A search over the student's architecture: val/ce against parameters, and which sizes are worth their parameters."""

from __future__ import annotations

from palenka_tune.report.charts.ends import end_series, ends_axis
from palenka_tune.report.charts.figure import CE, Axis, Chart, Figure, Plot, Point, Series
from palenka_tune.report.data import RunData
from palenka_tune.report.words import described
from palenka_tune.trials.rows import TrialRow


def sizes_figure(run: RunData) -> Figure | None:
    """Where trials ended over their parameters, and the front; None unless students of several sizes were tried."""
    best = front(run)
    if len(best) < 2:
        return None
    y = ends_axis(run, CE)
    line = Series([_point(trial, run) for trial in best], "front", "grey", line=1.5, dashed=True)
    sized = [trial for trial in run.trials if trial.parameters]
    series = [line, *end_series(sized, lambda trial: _point(trial, run), y, marker=9)]
    chart = Chart("val/ce over the student's parameters", Plot(Axis("parameters", log=True), y, series), 420)
    caption = (
        "A point is a trial at its end; crosses are trials that were stopped, at the rung that stopped them. Below and "
        "to the left is better: the dashed line joins the students that no smaller one is as good as."
    )
    return Figure("sizes", [chart], caption)


def front(run: RunData) -> list[TrialRow]:
    """The trials that were trained to the end and that no smaller one is as good as, from the smallest; none if all
    students have one size."""
    whole = [trial for trial in run.trials if trial.is_complete and trial.parameters]
    if len({trial.parameters for trial in whole}) < 2:
        return []
    best: list[TrialRow] = []
    for trial in sorted(whole, key=lambda trial: (trial.parameters, trial.ce)):
        if not best or trial.ce < best[-1].ce:
            best.append(trial)
    return best


def _point(trial: TrialRow, run: RunData) -> Point:
    told = f"{trial.trial_id} ({trial.arm}): val/ce {trial.ce:.4f}, {trial.parameters:,} parameters"
    return Point(float(trial.parameters or 0), trial.ce, f"{told}\n{described(trial.settings, run.settings)}")
