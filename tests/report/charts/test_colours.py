"""Colours can be told from their ground, in light and dark."""

from __future__ import annotations

import pytest

from palenka_tune.report.charts import colours


@pytest.mark.parametrize("name", colours.SCALES)
def test_text_can_be_read_on_every_cell(name) -> None:
    for value in range(101):
        cell = colours.shade(name, value / 100, 0.0, 1.0)
        assert colours.contrast(cell, colours.text_on(cell)) >= 4.5


def test_colours_stand_out_from_both_papers() -> None:
    for side in (0, 1):
        paper, band = (colours.PAGE[name][side] for name in ("paper", "band"))
        for name, pair in colours.PALETTE.items():
            assert colours.contrast(pair[side], paper) >= 4.5, name
        for name in ("ink", "soft"):
            assert min(colours.contrast(colours.PAGE[name][side], ground) for ground in (paper, band)) >= 4.5, name


def test_contrast_is_that_of_wcag() -> None:
    assert colours.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colours.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
