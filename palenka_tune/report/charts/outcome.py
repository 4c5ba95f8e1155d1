"""What came out, as charts: the best against the anchors, minimal pairs, what early stopping saved, the projections."""

from __future__ import annotations

import math
from collections.abc import Sequence

from palenka_tune.report.charts.figure import (
    NAN,
    Axis,
    BarGroup,
    Bars,
    Chart,
    Figure,
    HeatMap,
    Plot,
    Rule,
    Series,
    finite,
)
from palenka_tune.report.data import (
    ANCHOR_NAMES,
    COMPLETE,
    FAILED,
    PRUNED,
    RANKS,
    Contrast,
    Model,
    Paradigm,
    RunData,
    suites_of,
)

VAL_CE = "val_ce"
MOST_MODELS = 5  # columns of a heat map that a phone has room for


def contrasts_figure(run: RunData) -> Figure | None:
    """Finalists minus vanilla KD, a chart for each measure, with the intervals over paired seeds."""
    if run.finalists is None or not run.finalists.contrasts:
        return None
    measures = dict.fromkeys(contrast.measure for contrast in run.finalists.contrasts)
    charts = [
        _contrasts([contrast for contrast in run.finalists.contrasts if contrast.measure == measure], measure)
        for measure in measures
    ]
    caption = (
        "Each configuration minus vanilla KD, which is the line at 0. Bars are 95 % intervals of the mean over paired "
        "seeds, small points the seeds. A bar that holds 0 tells nothing apart. Cross-entropy is better to the left, "
        "accuracy to the right."
    )
    return Figure("finalists", charts, caption)


def _contrasts(found: Sequence[Contrast], measure: str) -> Chart:
    factor, unit = (1.0, "nats per token") if measure == VAL_CE else (100.0, "points")
    title = "dev cross-entropy" if measure == VAL_CE else measure.replace("_", " ")
    rows = list(range(len(found)))
    seeds = [(factor * value, row) for row in rows for value in found[row].seeds]
    ends = [
        [factor * finite(contrast.mean if end is None else end) for contrast, end in zip(found, bounds, strict=True)]
        for bounds in ([contrast.low for contrast in found], [contrast.high for contrast in found])
    ]
    series = [
        Series([value for value, _ in seeds], [row + 0.22 for _, row in seeds], "", "grey", marker=5),
        Series(
            [factor * contrast.mean for contrast in found],
            [float(row) for row in rows],
            "",
            "blue",
            marker=10,
            low=ends[0],
            high=ends[1],
            hover=[_interval(contrast, factor, unit) for contrast in found],
        ),
    ]
    ticks = tuple((float(row), ANCHOR_NAMES.get(each.config, each.config)) for row, each in enumerate(found))
    up = Axis("", ticks=ticks, low=len(found) - 0.5, high=-0.5)
    plot = Plot(Axis(f"minus vanilla KD ({unit})"), up, series, [Rule(0.0, upright=True, dashed=False)])
    return Chart(f"{title}, minus vanilla KD", plot, 150 + 46 * len(found))


def _interval(contrast: Contrast, factor: float, unit: str) -> str:
    digits = 4 if factor == 1 else 1
    text = f"{ANCHOR_NAMES.get(contrast.config, contrast.config)}: {factor * contrast.mean:+.{digits}f} {unit}"
    if contrast.low is None or contrast.high is None:
        return f"{text}, no interval"
    return f"{text} ({factor * contrast.low:+.{digits}f} to {factor * contrast.high:+.{digits}f})"


def best_figure(run: RunData) -> Figure | None:
    """One seed each: the best trial, the anchors and the teachers on dev. For a search without finalists."""
    dots = [(model.name, model.val_ce, model.role) for model in run.models if model.seeds == 1]
    if not dots:
        dots = [(f"best, {trial.trial_id}", trial.val_ce, "student") for trial in run.complete()[:1]]
        dots += [(ANCHOR_NAMES[name], trial.val_ce, "anchor") for name, trial in run.anchors().items()]
    known = [(ANCHOR_NAMES.get(name, name), value, role) for name, value, role in dots if value is not None]
    if not known:
        return None
    colours = {"anchor": "gold", "teacher": "purple"}
    series = [
        Series([value], [float(row)], "", colours.get(role, "blue"), marker=12, hover=[f"{name}: {value:.4f}"])
        for row, (name, value, role) in enumerate(known)
    ]
    ticks = tuple((float(row), name) for row, (name, _, _) in enumerate(known))
    up = Axis("", ticks=ticks, low=len(known) - 0.5, high=-0.5)
    plot = Plot(Axis("dev cross-entropy (nats per token)"), up, series)
    caption = "One seed each, so there are no intervals: small differences may turn around with another seed."
    return Figure("best", [Chart("the best trial beside the anchors", plot, 120 + 36 * len(known))], caption, columns=1)


def pairs_figures(run: RunData) -> list[Figure]:
    """For each suite the accuracy of every model by phenomenon, if it has those, and by set."""
    figures = []
    for suite in suites_of(run.models):
        models = [model for model in run.models if suite in model.suites]
        sets = list(dict.fromkeys(p.name for model in models for p in model.suites[suite].paradigms))
        terms = list(dict.fromkeys(p.term for m in models for p in m.suites[suite].paradigms if p.term))
        charts = []
        if terms:
            charts.append(_pairs(f"{suite}, by phenomenon", terms, models, suite, by_term=True))
        if sets:
            charts.append(_pairs(f"{suite}, by set", sets, models, suite, by_term=False))
        if charts:
            name = "minimal_pairs_" + "".join(letter if letter.isalnum() else "_" for letter in suite)
            figures.append(Figure(name, charts, _PAIRS))
    return figures


_PAIRS = (
    "Share of the pairs, in percent, whose acceptable text is the likelier one; 50 is chance, where the colours meet. "
    "Behind ± is the standard error over the pairs of that set; of a mean over seeds it is that of one student. It "
    "says nothing of what another training would give."
)


def _pairs(title: str, names: Sequence[str], models: Sequence[Model], suite: str, *, by_term: bool) -> Chart:
    cells = [
        [
            _pooled([p for p in model.suites[suite].paradigms if (p.term if by_term else p.name) == name])
            for model in models
        ]
        for name in names
    ]
    columns = [_column(model) for model in models]
    heat = HeatMap(
        rows=[name.replace("_", " ") if by_term else name for name in names],
        columns=columns,
        values=[[NAN if cell is None else cell[0] for cell in row] for row in cells],
        texts=[["" if cell is None else _percent(*cell) for cell in row] for row in cells],
        scale="around_chance",
        low=0.0,
        high=1.0,
        hover=[
            [
                f"{name}\n{column}: " + ("not scored" if cell is None else f"{_percent(*cell, digits=1)} %")
                for column, cell in zip(columns, row, strict=True)
            ]
            for name, row in zip(names, cells, strict=True)
        ],
    )
    lines = 30 if by_term else 34
    return Chart(
        title, heat, 110 + lines * len(names), min_width=0 if len(models) <= MOST_MODELS else 140 + 48 * len(models)
    )


def _column(model: Model) -> str:
    name = ANCHOR_NAMES.get(model.name, model.name)
    return f"{name}, {model.seeds} seeds" if model.seeds > 1 else name


def _pooled(sets: Sequence[Paradigm]) -> tuple[float, float | None] | None:
    """Mean accuracy over sets and the standard error of that mean, None where one of them has none."""
    if not sets:
        return None
    accuracy = sum(each.accuracy for each in sets) / len(sets)
    errors = [each.stderr for each in sets if each.stderr is not None]
    if len(errors) < len(sets):
        return accuracy, None
    return accuracy, math.sqrt(sum(error**2 for error in errors)) / len(sets)


def _percent(accuracy: float, stderr: float | None, *, digits: int = 0) -> str:
    error = "" if stderr is None else f" ±{100 * stderr:.{max(digits, 0 if stderr >= 0.01 else 1)}f}"
    return f"{100 * accuracy:.{digits}f}{error}"


def budget_figure(run: RunData) -> Figure | None:
    """How far trials came: who went on at each rung, and the steps that were run and saved."""
    ended = [trial for trial in run.trials if trial.state in (COMPLETE, PRUNED, FAILED)]
    if not ended or not run.total_steps:
        return None
    rungs = sorted({max(trial.curve) for trial in ended if trial.curve} | {run.total_steps})
    reached = [[trial for trial in ended if trial.curve and max(trial.curve) >= rung] for rung in rungs]
    stopped = [[t for t in ended if t.curve and max(t.curve) == rung and t.state == PRUNED] for rung in rungs]
    failed = [sum(t.state == FAILED and bool(t.curve) and max(t.curve) == rung for t in ended) for rung in rungs]
    rung_groups = [
        BarGroup(
            "went on or finished",
            [float(len(r) - len(s) - f) for r, s, f in zip(reached, stopped, failed, strict=True)],
        ),
        BarGroup("stopped here", [float(len(each)) for each in stopped], "grey"),
        BarGroup("failed after this", [float(each) for each in failed], "purple"),
    ]
    names = [f"step {rung:,}" for rung in rungs]
    groups = [group for group in rung_groups if any(group.values)]
    used = {
        "trained to the end": sum(trial.steps for trial in ended if trial.state == COMPLETE),
        "stopped early": sum(trial.steps for trial in ended if trial.state == PRUNED),
        "failed": sum(trial.steps for trial in ended if trial.state == FAILED),
    }
    saved = run.total_steps * len(ended) - sum(used.values())
    parts = [
        BarGroup(f"{name}: {steps:,}", [float(steps)], colour, [f"{name}: {steps:,} steps"])
        for (name, steps), colour in zip(
            [*used.items(), ("not run", max(0, saved))], ("blue", "grey", "purple", "green"), strict=True
        )
        if steps
    ]
    charts = [
        Chart("trials at each rung", Bars(names, groups, Axis("trials"), stacked=True), 150 + 34 * len(rungs)),
        Chart(
            "optimiser steps, of all that whole trainings would take",
            Bars(["steps"], parts, Axis("steps"), stacked=True),
            200,
        ),
    ]
    caption = (
        "Trials: of those that were validated at a rung, how many went on. Steps: where they went; what was "
        "not run is what early stopping saved."
    )
    return Figure("budget", charts, caption)


def explained_figure(run: RunData) -> Figure | None:
    """What share of each teacher's hidden state its leading components hold."""
    if not run.layers:
        return None
    ranks = [rank for rank in RANKS if any(rank in layer.explained for layer in run.layers)]
    heat = HeatMap(
        rows=[f"{layer.teacher} {layer.state}" for layer in run.layers],
        columns=[str(rank) for rank in ranks],
        values=[[layer.explained.get(rank, NAN) for rank in ranks] for layer in run.layers],
        texts=[
            [f"{100 * layer.explained[rank]:.0f}" if rank in layer.explained else "" for rank in ranks]
            for layer in run.layers
        ],
        scale="share",
        low=0.0,
        high=1.0,
        x="leading principal components",
        hover=[
            [
                f"{layer.teacher}, hidden state {layer.state}\n{rank} components hold "
                f"{100 * layer.explained.get(rank, NAN):.1f} % of its variance"
                for rank in ranks
            ]
            for layer in run.layers
        ],
    )
    caption = (
        "Percent of a hidden state's variance over train that its leading principal components hold: what a target of "
        "that rank keeps. State 0 is the output of the embedding."
    )
    chart = Chart("explained variance by layer", heat, 110 + 28 * len(run.layers))
    return Figure("explained_variance", [chart], caption, columns=1)


def spread_figure(run: RunData) -> Figure | None:
    """The spread of targets that trained weights project, beside how the student ended."""
    trials = [trial for trial in run.complete() if trial.terms.get("target_std") is not None]
    if not trials:
        return None
    series = [
        Series(
            [finite(trial.terms["target_std"]) for trial in trials],
            [finite(trial.val_ce) for trial in trials],
            marker=9,
            hover=[
                f"{trial.trial_id}: spread {finite(trial.terms['target_std']):.3g}, val/ce {finite(trial.val_ce):.4f}"
                for trial in trials
            ],
        )
    ]
    caption = (
        "A target that is projected by trained weights could become a constant, which any student matches: its spread "
        "would be near 0. Each point is a trial at its last step."
    )
    plot = Plot(Axis("standard deviation of the projected target"), Axis("val/ce"), series)
    return Figure("target_spread", [Chart("spread of projected targets", plot, 320)], caption, columns=1)
