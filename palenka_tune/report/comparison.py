"""Several runs beside each other: what each found, how fast, and whether their figures may be compared at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

from palenka_tune.report.charts.figure import Axis, Chart, Figure, Plot, Rule, Series, finite
from palenka_tune.report.charts.outcome import VAL_CE
from palenka_tune.report.data import ANCHOR_NAMES, COMPLETE, PRUNED, Contrast, RunData, Trial
from palenka_tune.report.page import Section, Table
from palenka_tune.report.sections import duration

COLOURS = ("blue", "red", "green", "purple", "gold", "grey")
SHAPES = ("circle", "square", "diamond")


def comparison(runs: Sequence[RunData]) -> Section:
    """The part of a report that has several runs."""
    figures = [figure for figure in (_best_by_steps(runs), _beside_anchors(runs), _contrasts(runs)) if figure]
    return Section("The runs beside each other", sentences(runs), [_table(runs)], figures)


def sentences(runs: Sequence[RunData]) -> list[str]:
    """Whether val/ce may be compared between the runs, and which is lowest."""
    apart = []
    for name in dict.fromkeys(name for run in runs for name in run.comparable):
        values = {run.name: run.comparable.get(name, "unknown") for run in runs}
        if len(set(values.values())) > 1:
            apart.append(f"{name} ({', '.join(f'{run}: {value}' for run, value in values.items())})")
    if apart:
        return [
            f"The runs differ in {'; '.join(apart)}: their val/ce are not of one kind, and differences between runs "
            "say nothing. What each run says against its own anchors holds."
        ]
    known = [(finite(run.complete()[0].val_ce), run.name) for run in runs if run.complete()]
    if not known:
        return ["None of the runs has a proposed trial that was trained to the end."]
    value, name = min(known)
    return [
        "The runs share their data, student, budget and dev windows, so that their val/ce may be compared.",
        f"The lowest is that of {name}, {value:.4f} nats per token. It is one seed, and the more trials a run has, the "
        "luckier its best; only finalists of several seeds tell runs apart.",
    ]


def _table(runs: Sequence[RunData]) -> Table:
    header = ("run", "state", "trials", "steps run", "time", "best val/ce", "minus vanilla KD", "minus no distillation")
    rows = []
    for run in runs:
        ended = [trial for trial in run.trials if trial.state in (COMPLETE, PRUNED)]
        best = run.complete()[0] if run.complete() else None
        rows.append(
            (
                run.name,
                run.state,
                str(len(run.proposed())),
                f"{sum(trial.steps for trial in ended):,}",
                "" if run.seconds is None else duration(run.seconds),
                "" if best is None else f"{finite(best.val_ce):.4f}",
                *(_minus(best, run.anchors().get(anchor)) for anchor in ("vanilla_kd", "no_distillation")),
            )
        )
    return Table(header, rows, "One seed each: the best proposed trial of a run against its own anchors.")


def _minus(best: Trial | None, anchor: Trial | None) -> str:
    return "" if best is None or anchor is None else f"{finite(best.val_ce) - finite(anchor.val_ce):+.4f}"


def _best_by_steps(runs: Sequence[RunData]) -> Figure | None:
    """The lowest val/ce of a finished trial, over the steps that all trials have run until then."""
    series = []
    for number, run in enumerate(runs):
        spent, best = 0, math.inf
        x: list[float] = []
        y: list[float] = []
        for trial in run.proposed():
            spent += trial.steps
            if trial.is_complete:
                best = min(best, finite(trial.val_ce))
            if math.isfinite(best):
                x.append(float(spent))
                y.append(best)
        if x:
            style = {"colour": COLOURS[number % len(COLOURS)], "shape": SHAPES[number % len(SHAPES)]}
            series.append(Series(x, y, run.name, line=2.0, marker=5, **style))  # type: ignore[arg-type]
    if not series:
        return None
    plot = Plot(Axis("optimiser steps of all trials so far"), Axis("best val/ce so far (nats per token)"), series)
    caption = "What each run had found after how much training, its trials in the order of proposal."
    return Figure("runs_by_steps", [Chart("best so far, by training", plot, 400)], caption, columns=1)


def _beside_anchors(runs: Sequence[RunData]) -> Figure | None:
    rows = [run for run in runs if run.complete() or run.anchors()]
    if not rows:
        return None
    series = []
    for label, colour, shape, chosen in (
        ("best proposed trial", "blue", "circle", [next(iter(run.complete()), None) for run in rows]),
        (ANCHOR_NAMES["vanilla_kd"], "gold", "square", [run.anchors().get("vanilla_kd") for run in rows]),
        (ANCHOR_NAMES["no_distillation"], "red", "diamond", [run.anchors().get("no_distillation") for run in rows]),
    ):
        there = [(row, trial) for row, trial in enumerate(chosen) if trial is not None]
        if there:
            series.append(
                Series(
                    [finite(trial.val_ce) for _, trial in there],
                    [float(row) for row, _ in there],
                    label,
                    colour,
                    marker=11,
                    shape=shape,
                    hover=[f"{rows[row].name}, {label}: {finite(trial.val_ce):.4f}" for row, trial in there],
                )
            )
    ticks = tuple((float(row), run.name) for row, run in enumerate(rows))
    up = Axis("", ticks=ticks, low=len(rows) - 0.5, high=-0.5)
    plot = Plot(Axis("dev cross-entropy (nats per token)"), up, series)
    return Figure(
        "runs_and_anchors",
        [Chart("the best of each run beside its anchors", plot, 170 + 44 * len(rows))],
        "One seed each. Runs on other data or windows have other levels; look at the distances within a row.",
        columns=1,
    )


def _contrasts(runs: Sequence[RunData]) -> Figure | None:
    """The finalists of all runs against their own vanilla KD, with intervals."""
    found: list[tuple[str, Contrast]] = [
        (run.name, contrast)
        for run in runs
        if run.finalists is not None
        for contrast in run.finalists.contrasts
        if contrast.measure == VAL_CE
    ]
    if not found:
        return None
    ends = [
        [finite(c.mean if end is None else end) for c, end in pairs]
        for pairs in (
            [(contrast, contrast.low) for _, contrast in found],
            [(contrast, contrast.high) for _, contrast in found],
        )
    ]
    series = Series(
        [contrast.mean for _, contrast in found],
        [float(row) for row in range(len(found))],
        "",
        "blue",
        marker=10,
        low=ends[0],
        high=ends[1],
        hover=[f"{name}, {contrast.config}: {contrast.mean:+.4f}" for name, contrast in found],
    )
    ticks = tuple(
        (float(row), f"{name}: {ANCHOR_NAMES.get(contrast.config, contrast.config)}")
        for row, (name, contrast) in enumerate(found)
    )
    up = Axis("", ticks=ticks, low=len(found) - 0.5, high=-0.5)
    plot = Plot(Axis("dev CE minus vanilla KD (nats per token)"), up, [series], [Rule(0.0, upright=True, dashed=False)])
    return Figure(
        "runs_finalists",
        [Chart("finalists of every run, minus its vanilla KD", plot, 150 + 44 * len(found))],
        "Bars are 95 % intervals over paired seeds within a run; one that holds 0 tells nothing apart.",
        columns=1,
    )
