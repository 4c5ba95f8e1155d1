"""Each chart is described once, and plotly takes it with all its numbers."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from palenka_tune.report.charts.draw_plotly import figure as interactive
from palenka_tune.report.charts.figure import NAN, Axis, Cell, Chart, Figure, HeatMap, Label, Plot, Point, Series
from palenka_tune.report.page import COLOURS
from palenka_tune.report.sections import sections
from tests.report import synthetic

RUNS = {
    "whole": synthetic.run(),
    "grid": synthetic.grid_run(),
    "no finalists": synthetic.run(finalists=None),
}
FIGURES = {
    f"{name}: {figure.name}": figure for name, run in RUNS.items() for part in sections(run) for figure in part.figures
}


def known_to_plotly(value):
    """The figure with some colour in place of the names that the page's script replaces."""
    if isinstance(value, str):
        return "#123456" if value in COLOURS else value
    if isinstance(value, list):
        return [known_to_plotly(entry) for entry in value]
    if isinstance(value, dict):
        return {name: known_to_plotly(entry) for name, entry in value.items()}
    return value


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_plotly_knows_every_property_of_every_chart(figure) -> None:
    for chart in figure.charts:
        drawn = interactive(chart)
        json.dumps(drawn, allow_nan=False)
        assert drawn["data"]
        go.Figure(known_to_plotly(drawn))  # refuses what it does not know


def test_a_series_keeps_its_numbers_and_its_gaps() -> None:
    series = Series(
        [Point(1, 0.1234567891, low=0, high=4), Point(2, NAN, low=1, high=5), Point(3, 2, low=1, high=6)], "a", line=1
    )
    (trace,) = interactive(Chart("t", Plot(Axis(), Axis(), [series])))["data"]
    assert trace["y"] == [0.123457, None, 2]
    assert trace["error_x"]["array"] == [3, 3, 3]
    assert trace["error_x"]["arrayminus"] == [1, 1, 2]
    assert not trace["connectgaps"]


def test_a_logarithmic_axis_has_its_ends_as_powers() -> None:
    plot = Plot(Axis(log=True, ends=(0.1, 100)), Axis(), [Series([Point(1, 1)], marker=4)], labels=[Label(1, 1, "x")])
    axis = interactive(Chart("t", plot))["layout"]["xaxis"]
    assert (axis["type"], axis["range"]) == ("log", [-1, 2])


def test_the_first_row_of_a_heat_map_is_at_the_top() -> None:
    heat = HeatMap(["first", "second"], ["a"], [[Cell(0.1, "10")], [Cell(NAN, "none")]], "share")
    drawn = interactive(Chart("t", heat))
    low, high = drawn["layout"]["yaxis"]["range"]
    assert low > high
    assert drawn["data"][0]["z"] == [[0.1], [None]]
    assert {text for trace in drawn["data"][1:] for text in trace["text"]} == {"10", "none"}


def test_long_names_are_broken_for_a_phone() -> None:
    heat = HeatMap(["sentential_negation_npi_licensor_present"], ["a"], [[Cell(1.0, "1")]], "share")
    figure = Figure("f", [Chart("t", heat)], "c")
    (text,) = interactive(figure.charts[0])["layout"]["yaxis"]["ticktext"]
    assert max(map(len, text.split("<br>"))) <= 22
    assert text.replace("<br>", "") == "sentential_negation_npi_licensor_present"
