"""What came out: intervals, minimal pairs, budget, projections are drawn from what is known and from nothing else."""

from __future__ import annotations

import math

import pytest

from palenka_tune.report.charts.outcome import (
    best_figure,
    budget_figure,
    contrasts_figure,
    explained_figure,
    pairs_figures,
    spread_figure,
)
from palenka_tune.report.data import Model, Paradigm, SuiteScore
from tests.report import synthetic
from tests.report.synthetic import TOTAL_STEPS, trial


def test_contrasts_have_their_intervals_and_seeds_and_accuracies_are_points() -> None:
    ce, blimp = (chart.body for chart in contrasts_figure(synthetic.run()).charts)
    seeds, means = ce.series
    assert list(means.x) == [-0.04, 0.001]
    assert (list(means.low), list(means.high)) == ([-0.042, -0.010], [-0.038, 0.012])
    assert sorted(seeds.x) == sorted([-0.041, -0.040, -0.039, -0.004, 0.001, 0.006])
    assert ce.rules[0].at == 0
    assert list(blimp.series[1].x) == pytest.approx([0.6])
    assert blimp.x.title.endswith("(points)")


def test_without_finalists_the_best_stands_beside_the_anchors_without_intervals() -> None:
    run = synthetic.run(finalists=None, models=())
    assert contrasts_figure(run) is None
    body = best_figure(run).charts[0].body
    assert [text for _, text in body.y.ticks][1:] == ["no distillation", "vanilla KD"]
    assert body.series[0].x == [run.complete()[0].val_ce]
    assert not any(series.low for series in body.series)


def test_minimal_pairs_have_every_set_and_model_with_the_error() -> None:
    run = synthetic.run()
    (figure,) = pairs_figures(run)
    terms, sets = (chart.body for chart in figure.charts)
    assert (len(sets.rows), len(sets.columns)) == (67, 5)
    assert len(terms.rows) == 13
    first = run.models[0].suites["blimp"].paradigms[0]
    assert sets.values[0][0] == first.accuracy
    assert sets.texts[0][0] == f"{100 * first.accuracy:.0f} ±{100 * first.stderr:.0f}"
    own = [each for each in run.models[0].suites["blimp"].paradigms if each.term == "term_0"]
    assert terms.values[0][0] == pytest.approx(sum(each.accuracy for each in own) / len(own))
    error = math.sqrt(sum(each.stderr**2 for each in own)) / len(own)
    assert terms.texts[0][0].endswith(f"±{100 * error:.1f}")


def test_models_on_different_suites_leave_cells_empty() -> None:
    one = Model("a", "student", 4.0, {"x": SuiteScore(0.5, 0.1, (Paradigm("s", None, 0.5, None),))})
    two = Model("b", "student", 4.0, {"x": SuiteScore(0.5, 0.1, (Paradigm("t", None, 0.7, 0.1),))})
    (figure,) = pairs_figures(synthetic.run(models=(one, two)))
    (chart,) = figure.charts  # no phenomena
    assert chart.body.texts == [["50", ""], ["", "70 ±10"]]


def test_many_models_scroll_and_few_do_not() -> None:
    (few,) = pairs_figures(synthetic.run())
    (many,) = pairs_figures(synthetic.run(models=synthetic.models(names=tuple("abcdef"))))
    assert {chart.min_width for chart in few.charts} == {0}
    assert min(chart.min_width for chart in many.charts) > 390


def test_the_budget_adds_up_to_whole_trainings() -> None:
    trials = (
        *synthetic.anchors(),
        trial(2, {}, "PRUNED"),  # after 100 steps
        trial(3, {}, "PRUNED"),  # after 300
        trial(4, {}, "FAILED"),  # after 20
        trial(5, {}, "RUNNING"),  # not at its end: not counted
    )
    rungs, steps = (chart.body for chart in budget_figure(synthetic.run(trials=trials)).charts)
    assert rungs.names == ["step 100", "step 300", "step 900"]
    by_name = {group.name: group.values for group in rungs.groups}
    assert by_name["went on or finished"] == [3, 2, 2]
    assert by_name["stopped here"] == [1, 1, 0]
    assert [group.values[0] for group in steps.groups] == [1800, 400, 20, 5 * TOTAL_STEPS - 2220]


def test_explained_variance_has_a_row_per_layer() -> None:
    heat = explained_figure(synthetic.run()).charts[0].body
    assert heat.rows[0] == "GPT2-tiny 0"
    assert heat.columns == ["1", "4", "16", "64"]
    assert heat.texts[0] == ["30", "50", "70", "90"]
    assert explained_figure(synthetic.run(layers=())) is None


def test_the_spread_of_targets_is_there_where_it_was_measured() -> None:
    run = synthetic.run()
    (series,) = spread_figure(run).charts[0].body.series
    assert list(series.y) == [each.val_ce for each in run.complete()]
    assert spread_figure(synthetic.run(trials=tuple(synthetic.anchors()))) is None
