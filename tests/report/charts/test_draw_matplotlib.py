"""Each chart is described once, and matplotlib draws it, to the same bytes each time."""

from __future__ import annotations

import pytest

from palenka_tune.report.charts.draw_matplotlib import write_pictures
from palenka_tune.report.sections import sections
from tests.report import synthetic

FIGURES = {figure.name: figure for part in sections(synthetic.run()) for figure in part.figures}


@pytest.mark.parametrize(
    "name", ["search", "alpha_beta", "importance", "minimal_pairs_blimp", "parallel", "early_looks"]
)
def test_pictures_come_as_svg_and_png(tmp_path, name) -> None:
    paths = write_pictures(tmp_path, FIGURES[name], "title $x_1$")
    assert [path.name for path in paths] == [f"{name}.svg", f"{name}.png"]
    assert paths[0].read_text(encoding="utf-8").startswith("<?xml")
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_a_picture_has_the_same_bytes_each_time(tmp_path) -> None:
    for name in ("a", "b"):
        write_pictures(tmp_path / name, FIGURES["finalists"], "t")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
