"""What was found: intervals are drawn from what is known and from nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from palenka_tune.report.charts.colours import ARM_COLOURS
from palenka_tune.report.charts.outcome import accuracies_figure, best_figure, contrasts_figure
from tests.report import synthetic


def test_the_arms_differ_by_their_intervals_and_seeds_over_the_line_at_0() -> None:
    (chart,) = contrasts_figure(synthetic.run()).charts
    seeds, means = chart.body.series
    assert [text for _, text in chart.body.y.ticks] == ["hidden − logits", "logits − plain", "hidden − plain"]
    assert [point.x for point in means.points] == [-0.001, -0.073, -0.074]
    assert [(point.low, point.high) for point in means.points[:2]] == [(-0.012, 0.010), (-0.085, -0.061)]
    assert sorted(point.x for point in seeds.points)[-3:] == [-0.006, -0.001, 0.004]
    assert len(seeds.points) == 9
    assert chart.body.rules[0].at == 0


def test_the_margin_of_equivalence_is_drawn_where_it_is_known() -> None:
    figure = contrasts_figure(synthetic.run())
    assert [rule.at for rule in figure.charts[0].body.rules[1:]] == [-0.01, 0.01]
    assert "Within ±0.01" in figure.caption
    older = dataclasses.replace(synthetic.finalists(), margin=None)
    figure = contrasts_figure(synthetic.run(finalists=older))
    assert len(figure.charts[0].body.rules) == 1
    assert "±" not in figure.caption


def test_accuracies_are_in_points_and_have_no_margin() -> None:
    (chart,) = accuracies_figure(synthetic.run()).charts
    assert [point.x for point in chart.body.series[1].points] == pytest.approx([0.6])
    assert chart.body.x.title.endswith("(points)")
    assert len(chart.body.rules) == 1


def test_without_fresh_seeds_the_best_of_each_arm_stand_side_by_side_without_intervals() -> None:
    run = synthetic.run(finalists=None, models=())
    assert contrasts_figure(run) is None
    assert accuracies_figure(run) is None
    body = best_figure(run).charts[0].body
    best = run.arms()
    assert [text for _, text in body.y.ticks] == [f"best of {arm}, {best[arm].trial_id}" for arm in ARM_COLOURS]
    assert [series.points[0].x for series in body.series] == [best[arm].val_ce for arm in ARM_COLOURS]
    assert [series.colour for series in body.series] == [*ARM_COLOURS.values()]
    assert not any(series.arms for series in body.series)


def test_teachers_stand_beside_the_arms_where_they_were_scored() -> None:
    body = best_figure(synthetic.run(finalists=None)).charts[0].body
    assert [text for _, text in body.y.ticks][-2:] == ["GPT2-tiny", "Llama-tiny"]
    assert body.series[-1].colour not in ARM_COLOURS.values()
