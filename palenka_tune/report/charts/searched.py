"""Whether an arm was searched enough: the expected best of n random trials."""

from __future__ import annotations

from palenka_tune.report.charts.colours import ARM_COLOURS, ARM_SHAPES
from palenka_tune.report.charts.ends import best_rules
from palenka_tune.report.charts.figure import CE, Axis, Chart, Figure, Plot, Point, Series
from palenka_tune.report.data import RunData
from palenka_tune.trials.evidence import expected_best, random_values

FEWEST = 2  # random trials that make a curve


def searched_figure(run: RunData) -> Figure | None:
    """A curve for each arm over its random start-up trials."""
    series, most = [], 0
    for arm, colour in ARM_COLOURS.items():
        values = random_values(run.trials, arm)
        if len(values) >= FEWEST:
            most = max(most, len(values))
            points = [
                Point(n, value, f"{arm}, best of {n} random trials: {value:.4f} expected")
                for n, value in enumerate(expected_best(values, len(values)), 1)
            ]
            series.append(Series(points, arm, colour, line=2.0, marker=6, shape=ARM_SHAPES[arm]))
    if not series:
        return None
    every = max(1, -(-most // 8))
    ticks = tuple((float(n), str(n)) for n in range(1, most + 1, every))
    plot = Plot(Axis("number of random trials, n", ticks=ticks), Axis(CE), series, best_rules(run))
    caption = (
        "What the best of n random settings of an arm would come to on average, from its start-up trials. An arm whose "
        "curve still falls at its right end was searched too little; a dashed line, the best that was found, below the "
        "curve is what the sampler added."
    )
    return Figure("expected_best", [Chart("expected best of n random trials", plot, 420)], caption)
