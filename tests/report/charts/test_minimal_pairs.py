"""Minimal pairs: every set and every model with its error, and nothing where nothing was scored."""

from __future__ import annotations

import math

import pytest

from palenka_tune.report.charts.minimal_pairs import pairs_figures
from palenka_tune.report.data import Model, Paradigm, SuiteScore
from tests.report import synthetic


def test_minimal_pairs_have_every_set_and_model_with_the_error() -> None:
    run = synthetic.run()
    (figure,) = pairs_figures(run)
    terms, sets = (chart.body for chart in figure.charts)
    assert (len(sets.rows), len(sets.columns)) == (67, 5)
    assert len(terms.rows) == 13
    first = run.models[0].suites["blimp"].paradigms[0]
    assert sets.cells[0][0].value == first.accuracy
    assert sets.cells[0][0].text == f"{100 * first.accuracy:.0f} ±{100 * first.stderr:.0f}"
    own = [each for each in run.models[0].suites["blimp"].paradigms if each.term == "term_0"]
    assert terms.cells[0][0].value == pytest.approx(sum(each.accuracy for each in own) / len(own))
    error = math.sqrt(sum(each.stderr**2 for each in own)) / len(own)
    assert terms.cells[0][0].text.endswith(f"±{100 * error:.1f}")


def test_models_on_different_suites_leave_cells_empty() -> None:
    one = Model("a", "student", 4.0, {"x": SuiteScore(0.5, 0.1, (Paradigm("s", None, 0.5, None),))})
    two = Model("b", "student", 4.0, {"x": SuiteScore(0.5, 0.1, (Paradigm("t", None, 0.7, 0.1),))})
    (figure,) = pairs_figures(synthetic.run(models=(one, two)))
    (chart,) = figure.charts  # no phenomena
    assert [[cell.text for cell in row] for row in chart.body.cells] == [["50", ""], ["", "70 ±10"]]


def test_many_models_scroll_and_few_do_not() -> None:
    (few,) = pairs_figures(synthetic.run())
    (many,) = pairs_figures(synthetic.run(models=synthetic.models(names=tuple("abcdef"))))
    assert {chart.min_width for chart in few.charts} == {0}
    assert min(chart.min_width for chart in many.charts) > 390
