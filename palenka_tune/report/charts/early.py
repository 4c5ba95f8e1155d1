"""Do early looks predict the end? Lines from rung to rung to the end, and from the search's seed to fresh seeds.

The first chart is of places and not of values: values come down together between looks, by far more than trials
differ, so that a crossing could not be seen.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from palenka_tune.report.charts.colours import ARM_COLOURS, ARM_SHAPES
from palenka_tune.report.charts.figure import CE, GAP, Axis, Chart, Figure, Plot, Point, Series
from palenka_tune.report.data import RunData
from palenka_tune.trials.arms import UNSELECTED
from palenka_tune.trials.evidence import EarlyLook, early_looks, look
from palenka_tune.trials.rows import TrialRow

FEWEST = 2  # trials that can cross
MOST_TICKS = 8
SEED, FRESH = "the search's seed", "fresh seeds"


def early_figure(run: RunData) -> Figure | None:
    """Both charts, as far as there are trials for them."""
    charts, captions = [], []
    trials = seen_early(run)
    if len(trials) >= FEWEST:
        charts.append(Chart("order of the trials at each look", _places(run, trials), 420))
        captions.append(
            "A line is a trial that no result chose, the lowest val/ce on top; where lines cross, an early look and "
            "the end disagree. The thick line is the best of these at the end."
        )
    pairs = with_fresh_seeds(run)
    if len(pairs) >= FEWEST:
        charts.append(Chart("from the search's seed to fresh seeds", _fresh(pairs), 420))
        captions.append(
            "Fresh seeds: the best trial of each arm with the seed by which it was chosen, and the mean over fresh "
            "seeds, which are the small points. What one seed has chosen looks better than it is, so that lines tend "
            "to rise."
        )
    return Figure("early_looks", charts, " ".join(captions)) if charts else None


def rungs(run: RunData) -> list[EarlyLook]:
    """The early looks that compare at least a pair of trials."""
    return [each for each in early_looks(run.trials, run.total_steps) if each.pairs]


def seen_early(run: RunData) -> list[TrialRow]:
    """The trials behind the early looks, the best at the end first."""
    whole = run.complete() if rungs(run) else []
    return [trial for trial in whole if trial.origin in UNSELECTED and len(trial.curve) > 1]


def with_fresh_seeds(run: RunData) -> list[tuple[TrialRow, tuple[float, ...]]]:
    """The trials that were trained again, with the val_ce of each fresh seed."""
    fresh = run.finalists.fresh if run.finalists else {}
    return [(trial, fresh[trial.trial_id]) for trial in run.complete() if fresh.get(trial.trial_id)]


def fresh_look(run: RunData) -> EarlyLook | None:
    """What the search's seed says of fresh seeds."""
    pairs = with_fresh_seeds(run)
    if len(pairs) < FEWEST:
        return None
    return look([trial.ce for trial, _ in pairs], [statistics.fmean(values) for _, values in pairs], 1.0)


def _places(run: RunData, trials: Sequence[TrialRow]) -> Plot:
    """The place of each trial among those that were seen at a look, which is 1 for the lowest val/ce."""
    last = run.total_steps or max(max(trial.curve) for trial in trials)
    steps = [*sorted({step for trial in trials for step in trial.curve if step < last}), last]
    values = {
        step: {trial.trial_id: trial.curve[step] for trial in trials if step in trial.curve} for step in steps[:-1]
    }
    values[last] = {trial.trial_id: trial.ce for trial in trials}
    places = {
        step: {name: place for place, name in enumerate(sorted(known, key=lambda name: known[name]), 1)}
        for step, known in values.items()
    }

    def line(trial: TrialRow) -> list[Point]:
        points = []
        for number, step in enumerate(steps):
            if trial.trial_id in places[step]:
                place, value = places[step][trial.trial_id], values[step][trial.trial_id]
                told = f"{_when(step, last)}: place {place}, val/ce {value:.4f}"
                points.append(Point(number, place, f"{trial.trial_id} ({trial.arm}, {trial.origin})\n{told}"))
        return [*points, GAP]

    series = []
    for arm, colour in ARM_COLOURS.items():
        own = [point for trial in trials[1:] if trial.arm == arm for point in line(trial)]
        if own:
            series.append(Series(own, arm, colour, line=1.4, marker=6, shape=ARM_SHAPES[arm]))
    best = trials[0]
    name = f"best of these at the end, {best.trial_id} ({best.arm})"
    series.append(Series(line(best), name, ARM_COLOURS[best.arm], line=3.6, marker=9, shape=ARM_SHAPES[best.arm]))
    every = max(1, -(-len(trials) // MOST_TICKS))
    ticks = tuple((float(place), str(place)) for place in range(1, len(trials) + 1, every))
    return Plot(
        Axis("share of the steps", ticks=tuple((float(n), _when(step, last)) for n, step in enumerate(steps))),
        Axis("place, 1 is the lowest val/ce", ticks=ticks, ends=(len(trials) + 0.6, 0.4)),
        series,
    )


def _when(step: int, last: int) -> str:
    return "end" if step == last else f"{100 * step / last:.3g} %"


def _fresh(pairs: Sequence[tuple[TrialRow, tuple[float, ...]]]) -> Plot:
    """val/ce with the seed by which a trial was chosen, and with fresh ones."""
    series = []
    for trial, values in sorted(pairs, key=lambda pair: [*ARM_COLOURS].index(pair[0].arm)):
        colour, shape = ARM_COLOURS[trial.arm], ARM_SHAPES[trial.arm]
        mean = statistics.fmean(values)
        told = f"{trial.trial_id} ({trial.arm})"
        ends = [
            Point(0, trial.ce, f"{told}, {SEED}: {trial.ce:.4f}"),
            Point(1, mean, f"{told}, mean of {len(values)} {FRESH}: {mean:.4f}"),
        ]
        series.append(Series(ends, f"{trial.arm}, {trial.trial_id}", colour, line=2.4, marker=9, shape=shape))
        seeds = [Point(1.12, value, f"{told}, a fresh seed: {value:.4f}") for value in values]
        series.append(Series(seeds, "", colour, marker=5, shape=shape, faded=True))
    return Plot(Axis(ticks=((0.0, SEED), (1.0, FRESH)), ends=(-0.25, 1.35)), Axis(CE), series)
