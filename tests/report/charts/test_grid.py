"""The plane of α and β: drawn from the values, whatever is missing, with what each objective picks."""

from __future__ import annotations

import hashlib
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from palenka_tune.report.charts.draw_matplotlib import write_pictures
from palenka_tune.report.charts.figure import HeatMap, Plot
from palenka_tune.report.charts.grid import grid_lines, grid_maps, weights_figures
from palenka_tune.report.grid import grid_of
from palenka_tune.trials.arms import HIDDEN
from tests.report import synthetic


def rows(size=5, missing=()):
    return [
        {
            "values": {"alpha": 0.1 + 0.2 * a, "beta": 0.1 + 0.2 * b},
            "val_ce": None if (a, b) in missing else 5.2 - 0.011 * a - 0.023 * b,
            "val_total": None if (a, b) in missing else 6.0 + a + 1.19 * b,
        }
        for a in range(size)
        for b in range(size)
    ]


@pytest.fixture
def text_in_svg():
    """Let matplotlib write words as words, so that a test can read them."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        yield


def words(path):
    return [element.text for element in ElementTree.parse(path).iter() if element.tag.endswith("}text")]


def test_every_value_is_printed_and_the_picks_are_named(tmp_path, text_in_svg) -> None:
    paths = write_pictures(tmp_path, grid_maps(grid_of(rows()), "grid_heat"), "as published")
    assert [path.name for path in paths] == ["grid_heat.svg", "grid_heat.png"]
    heat = words(paths[0])
    for row in rows():
        assert f"{row['val_total']:.2f}" in heat
        assert f"{row['val_ce']:.3f}" in heat
    assert any(word.startswith("val/total: picks α 0.1, β 0.1") for word in heat)
    assert any(word.startswith("val/ce: picks α 0.9, β 0.9") for word in heat)
    assert "as published" in heat


def test_alpha_goes_up_and_beta_to_the_right_and_the_picked_cells_are_framed() -> None:
    ce, total = (chart.body for chart in grid_maps(grid_of(rows())).charts)
    assert isinstance(ce, HeatMap)
    assert (ce.rows[0], ce.rows[-1], ce.columns[0]) == ("0.9", "0.1", "0.1")
    assert ce.cells[0][0].value == pytest.approx(5.2 - 0.044)  # alpha 0.9, beta 0.1
    assert list(ce.framed) == [(0, 4)]
    assert list(total.framed) == [(4, 0)]
    assert (ce.x[0], ce.y[0]) == ("β", "α")


def test_the_lines_name_their_slope_and_straightness() -> None:
    ce, total = (chart.body for chart in grid_lines(grid_of(rows())).charts)
    names = [series.name for series in total.series if series.name]
    assert len(names) == 5
    assert all("slope 5.95, r² 1.000000" in name for name in names)
    assert len(total.series) == 10  # points, and a straight line for each
    assert all("slope -0.115, r² 1.000000" in series.name for series in ce.series)


@pytest.mark.parametrize("size", [2, 7])
def test_any_grid_with_missing_cells_is_drawn(tmp_path, text_in_svg, size) -> None:
    grid = grid_of(rows(size, missing={(0, 0), (1, 0)}))
    assert words(write_pictures(tmp_path, grid_maps(grid), "")[0]).count("no value") == 4
    write_pictures(tmp_path, grid_lines(grid), "")


def test_a_grid_without_any_value_is_drawn_and_says_so(tmp_path, text_in_svg) -> None:
    grid = grid_of(rows(2, {(a, b) for a in range(2) for b in range(2)}))
    said = words(write_pictures(tmp_path, grid_maps(grid), "")[0])
    assert any(word.startswith("val/ce: no cell finished") for word in said)
    write_pictures(tmp_path, grid_lines(grid), "")


def test_the_same_grid_gives_the_same_bytes(tmp_path) -> None:
    digests = [
        [
            hashlib.sha256(path.read_bytes()).digest()
            for path in write_pictures(tmp_path / name, grid_maps(grid_of(rows(2))), "x")
        ]
        for name in ("a", "b")
    ]
    assert digests[0] == digests[1]


def test_a_run_over_a_grid_has_maps_and_lines_of_both_objectives() -> None:
    maps, lines = weights_figures(synthetic.grid_run())
    assert [chart.title.partition(":")[0] for chart in maps.charts] == ["val/ce", "val/total"]
    assert "picks α 0.1, β 0.1" in maps.charts[1].title
    assert "picks α 0.9, β 0.9" in maps.charts[0].title
    assert len(lines.charts) == 2


def test_a_run_over_ranges_has_points_coloured_by_value() -> None:
    run = synthetic.run()
    (figure,) = weights_figures(run)
    body = figure.charts[0].body
    assert isinstance(body, Plot)
    points, best = body.series
    hidden = [trial.val_ce for trial in run.complete() if trial.arm == HIDDEN]
    assert sorted(points.shades) == hidden
    assert list(best.shades) == [run.complete()[0].val_ce]
    assert body.x.log
    assert body.y.log


def test_only_runs_over_both_weights_have_a_map() -> None:
    run = synthetic.run(settings=synthetic.SETTINGS[2:])
    assert weights_figures(run) == []
    assert weights_figures(synthetic.run(trials=tuple(synthetic.fixed()[:2]))) == []
