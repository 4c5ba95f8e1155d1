"""What the trials of a search look like: learning curves, the best so far, settings one by one and side by side."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from palenka_tune.report.charts.figure import NAN, Axis, Chart, Figure, Label, Plot, Rule, Series, finite
from palenka_tune.report.data import ANCHOR_NAMES, FAILED, PRUNED, RunData, Setting, Trial, described, key, shown

CE = "dev cross-entropy (nats per token)"
ANCHOR_COLOURS = {"no_distillation": "red", "vanilla_kd": "gold"}
AXES = {"beta": "β, weight of the hidden states", "alpha": "α, weight of the teachers' logits"}
# of the trials that were trained to the end, by rank, in the chart of all settings
BANDS = (("best tenth", 0.1, "green", 2.0), ("best third", 1 / 3, "blue", 1.4), ("the others", 1.0, "grey", 1.0))
FEWEST = 2  # trials with a value that a chart needs


def search_figure(run: RunData) -> Figure | None:
    """Learning curves, and where trials ended over the first weight that was searched."""
    if not any(trial.curve for trial in run.trials):
        return None
    charts = [Chart("val/ce while trials train", curves(run), 420)]
    setting = main_setting(run)
    if setting is not None and any(_ended(trial) for trial in run.proposed()):
        charts.append(Chart(f"val/ce at the end, over {setting.short}", slice_of(run, setting), 420))
    caption = (
        "A curve has a point at each of ASHA's rungs, where fewer dev windows may be used than at the end; those of "
        "trials that were stopped early are faded, the anchors' are dashed."
    )
    if len(charts) > 1:
        caption += (
            f" Over {charts[1].title.rpartition(' ')[2]}: where each trial ended; crosses are trials that were "
            "stopped, at the rung that stopped them, and lines across the anchors."
        )
    return Figure("search", charts, caption)


def main_setting(run: RunData) -> Setting | None:
    """β if it was searched, else the first numeric setting."""
    numeric = [setting for setting in run.settings if _is_numeric(setting)]
    return next((setting for setting in numeric if setting.name == "beta"), numeric[0] if numeric else None)


def curves(run: RunData) -> Plot:
    """val/ce by step of every trial."""
    proposed, whole = run.proposed(), run.complete()
    best = whole[:1]
    training = [trial for trial in proposed if trial.state not in (PRUNED, FAILED) and not trial.is_complete]
    kinds = (
        ("stopped early", [trial for trial in proposed if trial.state == PRUNED], "grey", 1.0, True),
        ("failed", [trial for trial in proposed if trial.state == FAILED], "purple", 1.0, True),
        ("still training", training, "green", 1.4, False),
        ("trained to the end", [trial for trial in whole if trial not in best], "blue", 1.2, False),
    )
    series = [
        _joined(trials, name=name, colour=colour, line=line, faded=faded)
        for name, trials, colour, line, faded in kinds
        if any(trial.curve for trial in trials)
    ]
    for anchor, trial in run.anchors().items():
        series.append(_joined([trial], name=ANCHOR_NAMES[anchor], colour=ANCHOR_COLOURS[anchor], line=2.4, dashed=True))
    series += [_joined([trial], name=f"best, {trial.trial_id}", colour="green", line=3.2) for trial in best]
    return Plot(Axis("optimiser step"), Axis(CE), series)


def _joined(
    trials: Sequence[Trial], *, name: str, colour: str, line: float, faded: bool = False, dashed: bool = False
) -> Series:
    """The curves of several trials as one series with gaps."""
    x: list[float] = []
    y: list[float] = []
    hover: list[str] = []
    for trial in trials:
        points = sorted(trial.curve.items())
        x += [*(float(step) for step, _ in points), NAN]
        y += [*(float(value) for _, value in points), NAN]
        hover += [*(f"{trial.trial_id}, step {step:,}: {value:.4f}" for step, value in points), ""]
    return Series(x, y, name, colour, line=line, marker=5, faded=faded, dashed=dashed, hover=hover)


def history_figure(run: RunData) -> Figure | None:
    """Every trial in the order in which it was proposed, and the best so far."""
    trials = run.proposed()
    if not run.complete():
        return None
    series, best = [], math.inf
    steps: tuple[list[float], list[float]] = ([], [])
    for number, trial in enumerate(trials, 1):
        if trial.is_complete and finite(trial.val_ce) < best:
            if math.isfinite(best):  # a stair, not a slope
                steps[0].append(float(number))
                steps[1].append(best)
            best = finite(trial.val_ce)
        if math.isfinite(best):
            steps[0].append(float(number))
            steps[1].append(best)
    for name, shape, colour, chosen in (
        ("stopped early", "cross", "grey", [t for t in trials if _ended(t) and not t.is_complete]),
        ("trained to the end", "circle", "blue", [t for t in trials if t.is_complete]),
    ):
        if chosen:
            numbers = {trial.trial_id: number for number, trial in enumerate(trials, 1)}
            series.append(
                Series(
                    [float(numbers[trial.trial_id]) for trial in chosen],
                    [finite(trial.val_ce) for trial in chosen],
                    name,
                    colour,
                    marker=7,
                    shape=shape,
                    hover=[_told(trial, run) for trial in chosen],
                )
            )
    series.append(Series(*steps, "best so far", "green", line=2.0))
    plot = Plot(Axis("trial, in the order of proposal"), Axis(CE), series, _anchors(run))
    caption = "Crosses are trials that were stopped early, at the rung that stopped them: no end was seen of those."
    return Figure("history", [Chart("val/ce by trial", plot, 380)], caption)


def slices_figure(run: RunData) -> Figure | None:
    """val/ce over each setting by itself."""
    ended = [trial for trial in run.proposed() if _ended(trial)]
    if len(ended) < FEWEST:
        return None
    charts = [
        Chart(setting.name, slice_of(run, setting, legend=False), 300)
        for setting in run.settings
        if any(setting.name in trial.values for trial in ended)
    ]
    caption = (
        "val/ce over one setting at a time, whatever the others were: circles are trials that were trained to the end, "
        "faded crosses those that were stopped early, dashed lines the anchors. Points of a choice are spread sideways."
    )
    return Figure("slices", charts, caption, columns=3) if charts else None


def slice_of(run: RunData, setting: Setting, *, legend: bool = True) -> Plot:
    """Where trials ended over one setting."""
    places = places_of(setting, run.proposed())
    jitter = random.Random(0)
    series = []
    for name, shape, colour, faded, complete in (
        ("stopped early", "cross", "grey", True, False),
        ("trained to the end", "circle", "blue", False, True),
    ):
        chosen = [
            trial
            for trial in run.proposed()
            if _ended(trial) and trial.is_complete == complete and setting.name in trial.values
        ]
        if not chosen:
            continue
        x = [place_in(trial.values[setting.name], places) for trial in chosen]
        if places is not None:
            x = [place + jitter.uniform(-0.18, 0.18) for place in x]
        hover = [
            f"{trial.trial_id}: {finite(trial.val_ce):.4f}\n{setting.short} "
            f"{shown(trial.values[setting.name], setting.name)}"
            for trial in chosen
        ]
        y = [finite(trial.val_ce) for trial in chosen]
        label = name if legend else ""
        series.append(Series(x, y, label, colour, marker=8, shape=shape, faded=faded, hover=hover))
    ticks = None if places is None else tuple((place, text) for place, text in places.values())
    title = AXES.get(setting.name, setting.short)
    ends = {} if places is None else {"low": -0.5, "high": len(places) - 0.5}
    axis = Axis(title, log=setting.kind == "log_uniform", ticks=ticks, **ends)
    return Plot(axis, Axis(CE if legend else "val/ce"), series, _anchors(run, legend=legend))


def parallel_figure(run: RunData) -> Figure | None:
    """Every trial that was trained to the end as a line over all settings, the best ones in other colours."""
    trials = run.complete()
    axes = [setting for setting in run.settings if any(setting.name in trial.values for trial in trials)]
    if len(trials) < FEWEST or len(axes) < 2:
        return None
    heights = [_heights(run, setting, trials) for setting in axes]
    values = [finite(trial.val_ce) for trial in trials]
    low, high = min(values), max(values)
    ends = {value: 0.5 if high == low else (value - low) / (high - low) for value in values}
    series: list[Series] = []
    first = 0
    for name, share, colour, width in BANDS:
        last = max(first, math.ceil(share * len(trials)))
        x: list[float] = []
        y: list[float] = []
        hover: list[str] = []
        for trial in trials[first:last]:
            told = _told(trial, run)
            x += [*map(float, range(len(axes) + 1)), NAN]
            y += [*(held.get(trial.trial_id, NAN) for held, _ in heights), ends[finite(trial.val_ce)], NAN]
            hover += [told] * (len(axes) + 1) + [""]
        if x:
            faded = colour == "grey"
            series.insert(0, Series(x, y, name, colour, line=width, marker=4, faded=faded, hover=hover))
        first = last
    labels = [Label(float(place), at, text) for place, (_, marks) in enumerate(heights) for at, text in marks]
    labels += [Label(float(len(axes)), at, f"{value:.3f}") for value, at in ((low, 0.0), (high, 1.0)) if high > low]
    names = [*(setting.short for setting in axes), "val/ce"]
    across = Axis("", ticks=tuple(enumerate(names)), low=-0.4, high=len(axes) + 0.4)
    up = Axis("", ticks=(), low=-0.08, high=1.08)
    rules = [Rule(float(place), upright=True, dashed=False) for place in range(len(axes) + 1)]
    plot = Plot(across, up, series, rules, labels)
    caption = (
        "A line is a trial that was trained to the end, from its settings to its val/ce (the lower the better). A line "
        "breaks where a setting does not exist in a trial. Tap a name in the legend to hide those trials."
    )
    chart = Chart("all settings side by side", plot, 460, min_width=88 * (len(axes) + 1))
    return Figure("parallel", [chart], caption, columns=1)


def _heights(
    run: RunData, setting: Setting, trials: Sequence[Trial]
) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """Where trials cross a setting's axis, from 0 to 1, and the marks on it."""
    places = places_of(setting, run.proposed())
    if places is not None:
        top = max(1, len(places) - 1)
        scale = {name: (place / top if len(places) > 1 else 0.5) for name, (place, _) in places.items()}
        held = {t.trial_id: scale[key(t.values[setting.name])] for t in trials if setting.name in t.values}
        return held, [(scale[name], text) for name, (_, text) in places.items()]
    log = setting.kind == "log_uniform"

    def measure(value: float) -> float:
        return math.log(value) if log else float(value)

    low, high = measure(setting.low), measure(setting.high)
    span = high - low or 1.0
    held = {t.trial_id: (measure(t.values[setting.name]) - low) / span for t in trials if setting.name in t.values}
    middle = math.exp((low + high) / 2) if log else (low + high) / 2
    marks = [(0.0, setting.low), (0.5, middle), (1.0, setting.high)]
    return held, [(at, f"{value:.3g}") for at, value in marks]


def places_of(setting: Setting, trials: Sequence[Trial]) -> dict[str, tuple[float, str]] | None:
    """{choice: (place on an axis, text)} of a choice, numbers in order; None for a range, which is its own axis."""
    if setting.kind != "choice":
        return None
    values = list(setting.choices)
    known = {key(value) for value in values}
    for trial in trials:  # of a space that was cut down later
        if setting.name in trial.values and key(trial.values[setting.name]) not in known:
            values.append(trial.values[setting.name])
            known.add(key(trial.values[setting.name]))
    numbers = [value for value in values if _is_number(value)]
    ordered = [*sorted(numbers), *(value for value in values if not _is_number(value))]
    return {key(value): (float(place), shown(value, setting.name)) for place, value in enumerate(ordered)}


def place_in(value: object, places: dict[str, tuple[float, str]] | None) -> float:
    """Where a value stands on a setting's axis."""
    return float(value) if places is None else places[key(value)][0]  # type: ignore[arg-type]


def _anchors(run: RunData, *, legend: bool = True) -> list[Rule]:
    return [
        Rule(
            finite(trial.val_ce),
            f"{ANCHOR_NAMES[name]}: {finite(trial.val_ce):.3f}" if legend else "",
            ANCHOR_COLOURS[name],
        )
        for name, trial in run.anchors().items()
    ]


def _told(trial: Trial, run: RunData) -> str:
    """A trial on two lines."""
    return f"{trial.trial_id}: val/ce {finite(trial.val_ce):.4f}\n{described(trial.values, run.settings)}"


def _ended(trial: Trial) -> bool:
    """Whether it has a val/ce to show: it came to its end or was stopped."""
    return trial.val_ce is not None and math.isfinite(trial.val_ce) and (trial.is_complete or trial.state == PRUNED)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numeric(setting: Setting) -> bool:
    return setting.kind != "choice" or all(_is_number(value) for value in setting.choices)
