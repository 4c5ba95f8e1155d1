"""The plane of α and β: what each objective says of its points, and which point each picks.

Of a grid there are heat maps with the picked cell framed, and lines over β with how straight val/total is; of points
anywhere, as a sampler draws them, a scatter in which the colour is the value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palenka_tune.errors import PalenkaError
from palenka_tune.report.charts.colours import PALETTE
from palenka_tune.report.charts.figure import ALPHA, BETA, Axis, Cell, Chart, Figure, HeatMap, Plot, Point, Series
from palenka_tune.report.data import RunData
from palenka_tune.report.grid import Grid, Line, Pick, grid_of, linear_in_beta, picks
from palenka_tune.report.words import described
from palenka_tune.trials.arms import HIDDEN
from palenka_tune.trials.rows import TrialRow

NAMES = {"val_ce": "val/ce", "val_total": "val/total"}
NOTES = {"val_ce": "the student's own, our objective", "val_total": "CE + α·KL + β·H, the poster's objective"}
CAPTIONS = {
    "val_ce": "Each point is a trial that was trained to the end, its colour the student's own cross-entropy; the "
    "diamond is the best.",
    "val_total": "In val/total α and β stand themselves, so it is low where they are small, whatever the student.",
}
COLOURS, SHAPES = tuple(PALETTE), ("circle", "square", "diamond", "cross")


def weights_figures(run: RunData) -> list[Figure]:
    """The figures of a run that searched both weights; none of another, or of one without a finished trial."""
    if not {"alpha", "beta"} <= {setting.name for setting in run.settings} or not _weighted(run):
        return []
    grid = _grid(run)
    if grid is not None:
        return [grid_maps(grid), grid_lines(grid)]
    plots = {metric: plot for metric in NAMES if (plot := _points(run, metric))}
    charts = [Chart(f"{NAMES[metric]} over α and β", plot, 380) for metric, plot in plots.items()]
    return [Figure("alpha_beta", charts, " ".join(CAPTIONS[metric] for metric in plots))]


def _weighted(run: RunData) -> list[TrialRow]:
    """The trials that were trained to the end and have both weights as settings, the best first."""
    return [trial for trial in run.complete() if trial.arm == HIDDEN and {"alpha", "beta"} <= trial.settings.keys()]


def _grid(run: RunData) -> Grid | None:
    """The grid that the trials make, if α and β are all that was searched, over choices."""
    if {setting.name: setting.kind for setting in run.settings} != {"alpha": "choice", "beta": "choice"}:
        return None
    try:
        return grid_of(
            {"values": trial.settings, **{metric: getattr(trial, metric) for metric in NAMES}}
            for trial in _weighted(run)
        )
    except PalenkaError:  # too few cells for a map
        return None


def _points(run: RunData, metric: str) -> Plot | None:
    """A point for each trial with a value, the best one larger."""
    valued = [(trial, value) for trial in _weighted(run) if (value := getattr(trial, metric)) is not None]
    if not valued:
        return None
    points = [
        Point(
            float(trial.settings["beta"]),
            float(trial.settings["alpha"]),
            f"{trial.trial_id}: {NAMES[metric]} {value:.4f}\n{described(trial.settings, run.settings)}",
            shade=value,
        )
        for trial, value in valued
    ]
    best = points[int(np.argmin([value for _, value in valued]))]
    series = [Series(points, marker=11), Series([best], marker=15, shape="diamond")]
    logs = {setting.name: setting.kind == "log_uniform" for setting in run.settings}
    return Plot(Axis(BETA, log=logs["beta"]), Axis(ALPHA, log=logs["alpha"]), series, shaded="nats per token")


def grid_maps(grid: Grid, name: str = "alpha_beta") -> Figure:
    """A heat map of each objective that has a value, beside each other, the cell that it picks framed."""
    chosen = picks(grid)
    charts = [
        Chart(f"{NAMES[metric]}: {_picked(chosen[metric])} ({NOTES[metric]})", _map(grid, metric, chosen[metric]), 360)
        for metric in [metric for metric in NAMES if chosen[metric] is not None] or ["val_ce"]
    ]
    return Figure(name, charts, "Each objective over the grid, in nats per token; the cell that it picks is framed.")


def _picked(pick: Pick | None) -> str:
    if pick is None:
        return "no cell finished"
    tie = f", one of {pick.equal} equal cells" if pick.equal > 1 else ""
    return f"picks α {pick.alpha:g}, β {pick.beta:g}{tie}"


def _map(grid: Grid, metric: str, pick: Pick | None) -> HeatMap:
    """β from left to right, α from the bottom up."""
    matrix, alphas = grid.matrix(metric)[::-1], grid.alphas[::-1]
    low, high = (float(np.nanmin(matrix)), float(np.nanmax(matrix))) if pick else (0.0, 1.0)
    digits = 2 if high - low >= 1 or high == low else 3 if high - low >= 0.1 else 4  # that tell the cells apart

    def cell(alpha: float, beta: float, value: float) -> Cell:
        text, exact = ("no value", "unknown") if np.isnan(value) else (f"{value:.{digits}f}", f"{value:.5f}")
        return Cell(float(value), text, f"α {alpha:g}, β {beta:g}\n{NAMES[metric]} {exact}")

    return HeatMap(
        [f"{alpha:g}" for alpha in alphas],
        [f"{beta:g}" for beta in grid.betas],
        [
            [cell(alpha, beta, value) for beta, value in zip(grid.betas, row, strict=True)]
            for alpha, row in zip(alphas, matrix, strict=True)
        ],
        "low_is_good",
        low,
        high,
        x=BETA,
        y=ALPHA,
        framed=[(alphas.index(pick.alpha), grid.betas.index(pick.beta))] if pick else [],
    )


def grid_lines(grid: Grid, name: str = "alpha_beta_lines") -> Figure:
    """Each objective over β, a line per α; those of val/total are fitted ones, with how straight it is."""
    fitted = linear_in_beta(grid)
    metrics = [metric for metric in NAMES if not np.isnan(grid.matrix(metric)).all()] or ["val_ce"]
    across = Axis(BETA, ticks=tuple((beta, f"{beta:g}") for beta in grid.betas))
    charts = []
    for metric in metrics:
        series: list[Series] = []
        for place, (line, values) in enumerate(zip(fitted[metric], grid.matrix(metric), strict=True)):
            series += _line(grid.betas, line, values, place, fitted=metric == "val_total")
        charts.append(
            Chart(f"{NAMES[metric]} over β", Plot(across, Axis(f"{NAMES[metric]} (nats per token)"), series), 440)
        )
    caption = "A line for each α. "
    if "val_total" in metrics:
        caption += "In val/total they are least-squares lines: r² near 1 says that β enters the sum and little else. "
    return Figure(name, charts, caption + "Slopes are in nats per token and unit of β.")


def _line(betas: Sequence[float], line: Line, values: np.ndarray, place: int, *, fitted: bool) -> list[Series]:
    colour, shape = COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)]
    label = f"α {line.alpha:g}{_measured(line)}"
    points = [Point(beta, float(value)) for beta, value in zip(betas, values, strict=True)]
    if not fitted or line.slope is None or line.intercept is None:
        return [Series(points, label, colour, line=1.5, marker=8, shape=shape)]
    straight = [Point(beta, line.intercept + line.slope * beta) for beta in betas]
    return [Series(straight, "", colour, line=1.5), Series(points, label, colour, marker=8, shape=shape)]


def _measured(line: Line) -> str:
    """How straight a line is: r² has more digits near 1."""
    if line.r2 is None:
        return ": does not change" if line.slope is not None and line.points > 2 else ""
    return f": slope {line.slope:.3g}, r² {line.r2:.{3 if line.r2 < 0.9995 else 6}f}"
