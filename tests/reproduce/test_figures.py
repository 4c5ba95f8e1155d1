"""The pictures of the grid: drawn from the values, whatever is missing, the same bytes each time."""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from palenka_tune.reproduce.figures import _heat_maps, write_figures
from palenka_tune.reproduce.grid import grid_of


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


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The pictures of a whole 5 × 5 grid."""
    with mpl.rc_context({"svg.fonttype": "none"}):
        return write_figures(tmp_path_factory.mktemp("run") / "plots", grid_of(rows()), "as published")


def words(path):
    return [element.text for element in ElementTree.parse(path).iter() if element.tag.endswith("}text")]


def test_both_pictures_come_as_svg_and_png(drawn) -> None:
    assert [path.name for path in drawn] == ["grid_heat.svg", "grid_lines.svg", "grid_heat.png", "grid_lines.png"]
    for path in drawn[2:]:
        assert path.read_bytes().startswith(b"\x89PNG")
    for path in drawn[:2]:
        assert "http" not in re.sub(
            r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>|<metadata>.*?</metadata>', "", path.read_text(), flags=re.S
        )


def test_every_value_is_printed_and_the_picks_are_named(drawn) -> None:
    heat = words(drawn[0])
    for row in rows():
        assert f"{row['val_total']:.2f}" in heat
        assert f"{row['val_ce']:.3f}" in heat
    assert "val/total: picks α 0.1, β 0.1" in heat
    assert "val/ce: picks α 0.9, β 0.9" in heat
    assert "as published" in heat


def test_the_picked_cells_are_framed() -> None:
    figure = Figure()
    _heat_maps(figure, grid_of(rows()))
    total, ce = (axes for axes in figure.axes if axes.images)
    assert {frame.get_xy() for frame in total.patches} == {(-0.5, -0.5)}  # the lower left cell, half a cell around 0
    assert {frame.get_xy() for frame in ce.patches} == {(3.5, 3.5)}
    assert [total.get_xlabel()[0], total.get_ylabel()[0]] == ["β", "α"]


def test_the_lines_name_their_slope_and_straightness(drawn) -> None:
    lines = words(drawn[1])
    assert sum("slope 5.95, r² 1.000000" in word for word in lines) == 5
    assert sum("slope -0.115, r² 1.000000" in word for word in lines) == 5


@pytest.mark.parametrize("size", [2, 7])
def test_any_grid_with_missing_cells_is_drawn(tmp_path, text_in_svg, size) -> None:
    heat = words(write_figures(tmp_path, grid_of(rows(size, missing={(0, 0), (1, 0)})), "")[0])
    assert heat.count("no value") == 4


def test_a_grid_without_any_value_is_drawn_and_says_so(tmp_path, text_in_svg) -> None:
    missing = {(a, b) for a in range(2) for b in range(2)}
    assert "val/ce: no cell finished" in words(write_figures(tmp_path, grid_of(rows(2, missing)), "")[0])


def test_the_same_grid_gives_the_same_bytes(tmp_path) -> None:
    digests = [
        [hashlib.sha256(path.read_bytes()).digest() for path in write_figures(tmp_path / name, grid_of(rows(2)), "x")]
        for name in ("a", "b")
    ]
    assert digests[0] == digests[1]
