"""How far trials came and where the steps went, as bars."""

from __future__ import annotations

from collections import Counter

from palenka_tune.report.charts.figure import Axis, Bars, Chart, Figure, Point, Series
from palenka_tune.report.data import RunData
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED


def budget_figure(run: RunData) -> Figure | None:
    """Who went on at each rung, and the steps that were run and saved."""
    ended = run.ended()
    if not ended or not run.total_steps:
        return None
    last = Counter((trial.state, max(trial.curve)) for trial in ended if trial.curve)
    rungs = sorted({step for _, step in last} | {run.total_steps})
    reached = [sum(count for (_, step), count in last.items() if step >= rung) for rung in rungs]
    stopped, failed = ([last[state, rung] for rung in rungs] for state in (PRUNED, FAILED))
    counts = {
        ("went on or finished", "blue"): [r - s - f for r, s, f in zip(reached, stopped, failed, strict=True)],
        ("stopped here", "grey"): stopped,
        ("failed after this", "purple"): failed,
    }
    groups = [
        Series([Point(count, row) for row, count in enumerate(each)], name, colour)
        for (name, colour), each in counts.items()
        if any(each)
    ]
    by_rung = Bars([f"step {rung:,}" for rung in rungs], groups, Axis("trials"), stacked=True)
    kinds = {COMPLETE: ("trained to the end", "blue"), PRUNED: ("stopped early", "grey"), FAILED: ("failed", "purple")}
    used = [
        (name, sum(trial.steps for trial in ended if trial.state == state), colour)
        for state, (name, colour) in kinds.items()
    ]
    saved = run.total_steps * len(ended) - sum(steps for _, steps, _ in used)
    parts = [
        Series([Point(steps, 0, f"{name}: {steps:,} steps")], f"{name}: {steps:,}", colour)
        for name, steps, colour in (*used, ("not run", max(0, saved), "green"))
        if steps
    ]
    by_steps = Bars(["steps"], parts, Axis("steps"), stacked=True)
    charts = [
        Chart("trials at each rung", by_rung, 150 + 34 * len(rungs)),
        Chart("optimiser steps, of all that whole trainings would take", by_steps, 200),
    ]
    caption = (
        "Trials: of those that were validated at a rung, how many went on. Steps: where they went; what was "
        "not run is what early stopping saved."
    )
    return Figure("budget", charts, caption)
