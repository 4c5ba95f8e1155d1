"""The grid over α and β: what each objective picks, and how straight the total loss is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from palenka_tune.errors import PalenkaError
from palenka_tune.report.grid import METRICS, PUBLISHED, Line, grid_of, linear_in_beta, picks, published_lines

WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9)


def cell(alpha, beta, val_ce, val_total):
    return {"values": {"alpha": alpha, "beta": beta}, "val_ce": val_ce, "val_total": val_total}


def as_published(alpha, beta):
    """A student that β cannot change: the total is a line in β."""
    ce = 5.2 - 0.05 * alpha
    return cell(alpha, beta, ce, ce + 4.0 * alpha + 5.95 * beta)


ROWS = [as_published(alpha, beta) for beta in WEIGHTS for alpha in WEIGHTS]


def test_the_matrices_are_ordered_by_alpha_and_beta() -> None:
    grid = grid_of(ROWS[::-1])
    assert grid.alphas == grid.betas == WEIGHTS
    for row in ROWS:
        place = grid.alphas.index(row["values"]["alpha"]), grid.betas.index(row["values"]["beta"])
        for metric in METRICS:
            assert grid.matrix(metric)[place] == row[metric]


def test_the_total_picks_the_smallest_weights_and_ce_picks_the_student() -> None:
    found = picks(grid_of(ROWS))
    assert (found["val_total"].alpha, found["val_total"].beta, found["val_total"].equal) == (0.1, 0.1, 1)
    assert (found["val_ce"].alpha, found["val_ce"].beta, found["val_ce"].equal) == (0.9, 0.1, 5)  # β changes nothing
    better = [cell(0.5, 0.9, 5.0, 99.0) if row["values"] == {"alpha": 0.5, "beta": 0.9} else row for row in ROWS]
    found = picks(grid_of(better))
    assert (found["val_ce"].alpha, found["val_ce"].beta, found["val_ce"].value, found["val_ce"].equal) == (
        0.5,
        0.9,
        5.0,
        1,
    )


def test_the_lines_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    rows = [cell(a, b, *rng.normal(5, 1, 2)) for a in (0.2, 0.4, 1.0) for b in (0.0, 1.0, 4.0, 10.0)]
    found = linear_in_beta(grid_of(rows))
    for metric in METRICS:
        for line in found[metric]:
            points = [(row["values"]["beta"], row[metric]) for row in rows if row["values"]["alpha"] == line.alpha]
            n = len(points)
            mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
            slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
            intercept = mean_y - slope * mean_x
            left = sum((y - intercept - slope * x) ** 2 for x, y in points)
            r2 = 1 - left / sum((y - mean_y) ** 2 for _, y in points)
            assert (line.slope, line.intercept, line.r2) == pytest.approx((slope, intercept, r2), abs=1e-9)
            assert line.points == 4


def test_a_total_that_is_straight_in_beta_has_its_slope_and_r2_of_one() -> None:
    found = linear_in_beta(grid_of(ROWS))
    for line in found["val_total"]:
        assert line.slope == pytest.approx(5.95)
        assert line.r2 > 0.999999
    assert all(line.r2 is None and line.slope == pytest.approx(0, abs=1e-9) for line in found["val_ce"])  # flat: no r²


def test_a_bent_total_is_not_called_straight() -> None:
    rows = [cell(a, b, 5.0, 5.0 + b + 4 * (b - 0.5) ** 2) for a in WEIGHTS for b in WEIGHTS]
    assert all(line.r2 < 0.9 for line in linear_in_beta(grid_of(rows))["val_total"])


def test_missing_cells_are_nan_and_left_out() -> None:
    rows = [row for row in ROWS if row["values"] != {"alpha": 0.1, "beta": 0.1}]
    rows[0] = rows[0] | {"val_total": None}  # alpha 0.3, beta 0.1
    rows[1] = rows[1] | {"val_total": math.nan}  # alpha 0.5, beta 0.1
    grid = grid_of(rows)
    assert np.isnan(grid.val_total[:3, 0]).all()
    assert np.isnan(grid.val_ce).sum() == 1
    found = picks(grid)["val_total"]
    assert (found.alpha, found.beta) == (0.1, 0.3)
    assert [line.points for line in linear_in_beta(grid)["val_total"]] == [4, 4, 4, 5, 5]


def test_the_smallest_grid_and_an_empty_one() -> None:
    grid = grid_of([cell(a, b, None, a + b if a else None) for a in (0, 1) for b in (0, 1)])
    assert picks(grid)["val_ce"] is None
    lines = linear_in_beta(grid)["val_total"]
    assert lines[0] == Line(0.0, None, None, None, 0)
    assert (lines[1].slope, lines[1].intercept, lines[1].r2) == (1.0, 1.0, None)  # two points are always straight


def test_what_is_no_grid_is_refused() -> None:
    with pytest.raises(PalenkaError, match=r"two rows have alpha 0.1 and beta 0.1"):
        grid_of([*ROWS, ROWS[0]])
    with pytest.raises(PalenkaError, match="1 alphas and 5 betas"):
        grid_of([row for row in ROWS if row["values"]["alpha"] == 0.1])


def test_the_published_cells_lie_on_one_line() -> None:
    lines = published_lines()
    assert [(line.alpha, line.points) for line in lines] == [(0.1, 3)]
    assert lines[0].slope == pytest.approx(5.95)
    assert lines[0].r2 > 0.999999
    assert len(PUBLISHED) == 4
