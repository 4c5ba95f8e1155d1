"""The plane of α and β: what each objective says of its points, and which point each picks.

Of a grid there are heat maps with the picked cell framed, and lines over β with how straight val/total is; of points
anywhere, as a sampler draws them, a scatter in which the colour is the value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palenka_tune.errors import PalenkaError
from palenka_tune.report.charts.figure import Axis, Chart, Figure, HeatMap, Plot, Series, finite
from palenka_tune.report.data import RunData, Trial, described
from palenka_tune.report.grid import Grid, Line, Pick, grid_of, linear_in_beta, picks

ALPHA, BETA = "α, weight of the teachers' logits", "β, weight of the hidden states"
NAMES = {"val_ce": "val/ce", "val_total": "val/total"}
NOTES = {"val_ce": "the student's own, our objective", "val_total": "CE + α·KL + β·H, the poster's objective"}
COLOURS = ("blue", "red", "green", "purple", "gold", "grey")
SHAPES = ("circle", "square", "diamond", "cross")


def weights_figures(run: RunData) -> list[Figure]:
    """The figures of a run that searched both weights; none of another, or of one without a finished trial."""
    names = {setting.name: setting for setting in run.settings}
    if not {"alpha", "beta"} <= set(names) or not run.complete():
        return []
    grid = _grid(run)
    if grid is not None:
        return [grid_maps(grid), grid_lines(grid)]
    metrics = [name for name in NAMES if any(_value(trial, name) is not None for trial in run.complete())]
    captions = {
        "val_ce": "Each point is a trial that was trained to the end, its colour the student's own cross-entropy; the "
        "diamond is the best.",
        "val_total": "In val/total α and β stand themselves, so it is low where they are small, whatever the student.",
    }
    logs = [names[name].kind == "log_uniform" for name in ("beta", "alpha")]
    charts = [Chart(f"{NAMES[metric]} over α and β", _points(run, metric, *logs), 380) for metric in metrics]
    return [Figure("alpha_beta", charts, " ".join(captions[metric] for metric in metrics))]


def _grid(run: RunData) -> Grid | None:
    """The grid that the trials make, if α and β are all that was searched, over choices."""
    if {setting.name for setting in run.settings} != {"alpha", "beta"}:
        return None
    if any(setting.kind != "choice" for setting in run.settings):
        return None
    try:
        return grid_of(
            {"values": trial.values, "val_ce": trial.val_ce, "val_total": trial.terms.get("val_total")}
            for trial in run.complete()
        )
    except PalenkaError:  # too few cells for a map
        return None


def _value(trial: Trial, metric: str) -> float | None:
    return trial.val_ce if metric == "val_ce" else trial.terms.get(metric)


def _points(run: RunData, metric: str, log_beta: bool, log_alpha: bool) -> Plot:
    trials = [trial for trial in run.complete() if _value(trial, metric) is not None]
    values = [finite(_value(trial, metric)) for trial in trials]
    best = int(np.argmin(values))
    series = []
    for shape, size, chosen in (("circle", 11, range(len(trials))), ("diamond", 15, (best,))):
        series.append(
            Series(
                x=[float(trials[number].values["beta"]) for number in chosen],
                y=[float(trials[number].values["alpha"]) for number in chosen],
                marker=size,
                shape=shape,
                shades=[values[number] for number in chosen],
                hover=[
                    f"{trials[number].trial_id}: {NAMES[metric]} {values[number]:.4f}\n"
                    f"{described(trials[number].values, run.settings)}"
                    for number in chosen
                ],
            )
        )
    return Plot(Axis(BETA, log=log_beta), Axis(ALPHA, log=log_alpha), series, shaded="nats per token")


def grid_maps(grid: Grid, name: str = "alpha_beta") -> Figure:
    """A heat map of each objective that has a value, beside each other, the cell that it picks framed."""
    chosen = picks(grid)
    metrics = [metric for metric in NAMES if chosen[metric] is not None] or ["val_ce"]
    charts = [
        Chart(f"{NAMES[metric]}: {_picked(chosen[metric])} ({NOTES[metric]})", _map(grid, metric, chosen[metric]), 360)
        for metric in metrics
    ]
    return Figure(name, charts, "Each objective over the grid, in nats per token; the cell that it picks is framed.")


def _picked(pick: Pick | None) -> str:
    if pick is None:
        return "no cell finished"
    tie = f", one of {pick.equal} equal cells" if pick.equal > 1 else ""
    return f"picks α {pick.alpha:g}, β {pick.beta:g}{tie}"


def _map(grid: Grid, metric: str, pick: Pick | None) -> HeatMap:
    """β from left to right, α from the bottom up."""
    matrix = grid.matrix(metric)[::-1]
    alphas = grid.alphas[::-1]
    known = matrix[~np.isnan(matrix)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    digits = _digits(known)
    return HeatMap(
        rows=[f"{alpha:g}" for alpha in alphas],
        columns=[f"{beta:g}" for beta in grid.betas],
        values=[[float(value) for value in row] for row in matrix],
        texts=[["no value" if np.isnan(value) else f"{value:.{digits}f}" for value in row] for row in matrix],
        scale="low_is_good",
        low=low,
        high=high,
        x=BETA,
        y=ALPHA,
        hover=[
            [
                f"α {alpha:g}, β {beta:g}\n{NAMES[metric]} {'unknown' if np.isnan(value) else f'{value:.5f}'}"
                for beta, value in zip(grid.betas, row, strict=True)
            ]
            for alpha, row in zip(alphas, matrix, strict=True)
        ],
        framed=[(alphas.index(pick.alpha), grid.betas.index(pick.beta))] if pick else [],
    )


def grid_lines(grid: Grid, name: str = "alpha_beta_lines") -> Figure:
    """Each objective over β, a line per α; those of val/total are fitted ones, with how straight it is."""
    fitted = linear_in_beta(grid)
    metrics = [metric for metric in NAMES if not np.isnan(grid.matrix(metric)).all()] or ["val_ce"]
    charts = []
    for metric in metrics:
        series: list[Series] = []
        for place, (line, values) in enumerate(zip(fitted[metric], grid.matrix(metric), strict=True)):
            series += _line(grid.betas, line, values, place, fitted=metric == "val_total")
        ticks = tuple((beta, f"{beta:g}") for beta in grid.betas)
        plot = Plot(Axis(BETA, ticks=ticks), Axis(f"{NAMES[metric]} (nats per token)"), series)
        charts.append(Chart(f"{NAMES[metric]} over β", plot, 440))
    caption = "A line for each α. "
    if "val_total" in metrics:
        caption += "In val/total they are least-squares lines: r² near 1 says that β enters the sum and little else. "
    return Figure(name, charts, caption + "Slopes are in nats per token and unit of β.")


def _line(betas: Sequence[float], line: Line, values: np.ndarray, place: int, *, fitted: bool) -> list[Series]:
    colour, shape = COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)]
    label = f"α {line.alpha:g}{_measured(line)}"
    known = [float(value) for value in values]
    style = {"colour": colour, "marker": 8, "shape": shape, "name": label}
    if not fitted or line.slope is None or line.intercept is None:
        return [Series(betas, known, line=1.5, **style)]  # type: ignore[arg-type]
    straight = [line.intercept + line.slope * beta for beta in betas]
    return [Series(betas, straight, colour=colour, line=1.5), Series(betas, known, **style)]  # type: ignore[arg-type]


def _measured(line: Line) -> str:
    if line.r2 is None:
        return ": does not change" if line.slope is not None and line.points > 2 else ""
    return f": slope {line.slope:.3g}, r² {_share(line.r2)}"


def _share(r2: float) -> str:
    """r², with more digits near 1."""
    return f"{r2:.3f}" if r2 < 0.9995 else f"{r2:.6f}"


def _digits(known: np.ndarray) -> int:
    """Decimals that tell the cells apart: three digits of their range, between 2 and 4."""
    spread = float(np.ptp(known)) if len(known) else 0.0
    return 2 if spread >= 1 or spread == 0 else 3 if spread >= 0.1 else 4
