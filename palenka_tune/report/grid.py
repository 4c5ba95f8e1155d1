"""The poster's grid over α and β: which cell each objective picks, and the straight line that the total loss is in β.

The rows of a search over alpha and beta, with `val_ce` and `val_total` in nats per token, become a matrix for each
metric, (alphas, betas), with NaN where a cell was not run or did not finish.

The poster selected on the total loss, CE + α·KL + β·H. Where the student does not depend on β, that is a line whose
slope in β is H, so that the smallest β wins whatever it does to the student; `linear_in_beta` measures how straight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from palenka_tune.errors import PalenkaError

METRICS = ("val_total", "val_ce")
# The poster's "validation loss" (total) by (alpha, beta); the other 21 cells of its grid were not published.
PUBLISHED = {(0.1, 0.1): 6.24, (0.1, 0.3): 7.43, (0.1, 0.5): 8.62, (0.9, 0.9): 27.99}


@dataclass(frozen=True, eq=False)
class Grid:
    """`alphas` (A,) and `betas` (B,) from small to large, and each metric's (A, B) float64 matrix."""

    alphas: tuple[float, ...]
    betas: tuple[float, ...]
    val_total: np.ndarray
    val_ce: np.ndarray

    def matrix(self, metric: str) -> np.ndarray:
        """The matrix of `val_total` or `val_ce`."""
        return {"val_total": self.val_total, "val_ce": self.val_ce}[metric]


@dataclass(frozen=True)
class Pick:
    """The cell that an objective picks, its value there, and how many cells have that very value (1: no tie)."""

    alpha: float
    beta: float
    value: float
    equal: int


@dataclass(frozen=True)
class Line:
    """A least-squares line in β at one α: value = intercept + slope · β, over `points` cells.

    `r2` is the share of the variance that the line explains. It is None where that says nothing: fewer than three
    points, or values that do not change with β. Fewer than two points have no line (slope and intercept None).
    """

    alpha: float
    slope: float | None
    intercept: float | None
    r2: float | None
    points: int


def grid_of(rows: Iterable[Mapping[str, Any]]) -> Grid:
    """The grid of rows with `values` {"alpha", "beta"}, `val_ce` and `val_total`; None and NaN are missing values.

    Raises:
        PalenkaError: if two rows are of one cell, or if there are fewer than two alphas or two betas.
    """
    cells: dict[tuple[float, float], Mapping[str, Any]] = {}
    for row in rows:
        cell = float(row["values"]["alpha"]), float(row["values"]["beta"])
        if cell in cells:
            raise PalenkaError(f"two rows have alpha {cell[0]:g} and beta {cell[1]:g}; a grid runs a cell once")
        cells[cell] = row
    alphas, betas = (tuple(sorted({cell[axis] for cell in cells})) for axis in (0, 1))
    if min(len(alphas), len(betas)) < 2:
        raise PalenkaError(
            f"the rows have {len(alphas)} alphas and {len(betas)} betas; a grid needs at least two of each"
        )
    matrices = {metric: np.full((len(alphas), len(betas)), np.nan) for metric in METRICS}
    for (alpha, beta), row in cells.items():
        for metric, matrix in matrices.items():
            value = row.get(metric)
            if value is not None and math.isfinite(value):
                matrix[alphas.index(alpha), betas.index(beta)] = value
    return Grid(alphas, betas, **matrices)


def picks(grid: Grid) -> dict[str, Pick | None]:
    """For each metric the cell where it is lowest; None if it has no value anywhere.

    Of equal cells the one with the smallest weights is taken (the smaller alpha, then the smaller beta).
    """
    return {metric: _pick(grid, grid.matrix(metric)) for metric in METRICS}


def _pick(grid: Grid, matrix: np.ndarray) -> Pick | None:
    if np.isnan(matrix).all():
        return None
    row, column = np.unravel_index(np.nanargmin(matrix), matrix.shape)
    value = float(matrix[row, column])
    return Pick(grid.alphas[row], grid.betas[column], value, int((matrix == value).sum()))


def linear_in_beta(grid: Grid) -> dict[str, list[Line]]:
    """For each metric a line in β at every alpha."""
    return {
        metric: [
            _line(alpha, grid.betas, values) for alpha, values in zip(grid.alphas, grid.matrix(metric), strict=True)
        ]
        for metric in METRICS
    }


def published_lines() -> list[Line]:
    """The line through the poster's published cells at every alpha that has at least two: 5.95 per unit of β at 0.1."""
    rows = [{"values": {"alpha": a, "beta": b}, "val_total": total} for (a, b), total in PUBLISHED.items()]
    return [line for line in linear_in_beta(grid_of(rows))["val_total"] if line.slope is not None]


def _line(alpha: float, betas: Iterable[float], values: np.ndarray) -> Line:
    finite = ~np.isnan(values)
    x, y = np.asarray(list(betas))[finite], values[finite]
    if len(x) < 2:
        return Line(alpha, None, None, None, len(x))
    offsets, heights = x - x.mean(), y - y.mean()
    slope = float(offsets @ heights / (offsets @ offsets))
    unexplained, total = float(((heights - slope * offsets) ** 2).sum()), float(heights @ heights)
    # The same value in every cell still differs from its mean by rounding.
    flat = total <= len(y) * (1e-12 * float(np.abs(y).max())) ** 2
    r2 = None if flat or len(x) < 3 else 1 - unexplained / total
    return Line(alpha, slope, float(y.mean() - slope * x.mean()), r2, len(x))
