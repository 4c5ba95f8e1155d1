"""What was found: intervals are drawn from what is known and from nothing else."""

from __future__ import annotations

import pytest

from palenka_tune.report.charts.outcome import best_figure, contrasts_figure
from tests.report import synthetic


def test_contrasts_have_their_intervals_and_seeds_and_accuracies_are_points() -> None:
    ce, blimp = (chart.body for chart in contrasts_figure(synthetic.run()).charts)
    seeds, means = ce.series
    assert [point.x for point in means.points] == [-0.04, 0.001]
    assert [(point.low, point.high) for point in means.points] == [(-0.042, -0.038), (-0.010, 0.012)]
    assert sorted(point.x for point in seeds.points) == sorted([-0.041, -0.040, -0.039, -0.004, 0.001, 0.006])
    assert ce.rules[0].at == 0
    assert [point.x for point in blimp.series[1].points] == pytest.approx([0.6])
    assert blimp.x.title.endswith("(points)")


def test_without_finalists_the_best_stands_beside_the_anchors_without_intervals() -> None:
    run = synthetic.run(finalists=None, models=())
    assert contrasts_figure(run) is None
    body = best_figure(run).charts[0].body
    assert [text for _, text in body.y.ticks][1:] == ["no distillation", "vanilla KD"]
    assert [point.x for point in body.series[0].points] == [run.complete()[0].val_ce]
    assert not any(series.arms for series in body.series)
