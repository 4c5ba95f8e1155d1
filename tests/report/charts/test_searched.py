"""The expected best of n random trials: one curve for each arm, over start-up trials alone."""

from __future__ import annotations

import statistics

import pytest

from palenka_tune.report.charts.searched import searched_figure
from palenka_tune.trials.arms import PLAIN, STARTUP
from tests.report import synthetic
from tests.report.synthetic import trial


def test_a_curve_falls_from_the_mean_towards_the_best_of_the_random_trials() -> None:
    run = synthetic.run(60)
    plot = searched_figure(run).charts[0].body
    assert [series.name for series in plot.series] == ["plain", "logits", "hidden"]
    for series in plot.series:
        values = [each.ce for each in run.complete() if each.arm == series.name and each.origin == STARTUP]
        curve = [point.y for point in series.points]
        assert len(curve) == len(values)
        assert curve[0] == pytest.approx(statistics.fmean(values))
        assert curve == sorted(curve, reverse=True)
        assert curve[-1] >= min(values)


def test_the_best_that_was_found_is_a_line_across() -> None:
    run = synthetic.run(60)
    rules = searched_figure(run).charts[0].body.rules
    assert [rule.at for rule in rules] == [each.ce for each in run.arms().values()]


def test_an_arm_with_one_random_trial_has_no_curve() -> None:
    random = [trial(number, {}, val_ce=4.5 + number, origin=STARTUP) for number in (3, 4)]
    run = synthetic.run(trials=(*synthetic.fixed(), *random, trial(5, {}, arm=PLAIN, origin=STARTUP)))
    (series,) = searched_figure(run).charts[0].body.series
    assert series.name == "hidden"
    assert searched_figure(synthetic.run(trials=tuple(synthetic.fixed()))) is None
