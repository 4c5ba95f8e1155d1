"""val/ce is drawn over what ended; what is far above is at the edge and says its value."""

from __future__ import annotations

import pytest

from palenka_tune.report.charts.colours import ARM_SHAPES
from palenka_tune.report.charts.ends import axis_of, best_rules, end_series, ends_axis
from palenka_tune.report.charts.figure import Point
from tests.report import synthetic
from tests.report.synthetic import trial


def of(*trials):
    return synthetic.run(trials=(*synthetic.fixed()[:2], *trials))


def drawn(run):
    axis = ends_axis(run, "val/ce")
    found = end_series(run.trials, lambda each: Point(0.0, each.ce, f"{each.trial_id}: {each.ce}"), axis, marker=5)
    return axis, {series.name: series for series in found}


def test_complete_trials_set_the_axis_and_stopped_ones_above_it_do_not() -> None:
    axis, series = drawn(of(trial(2, {}, val_ce=4.8), trial(3, {}, "PRUNED", 60.0), trial(4, {}, "PRUNED", 4.2)))
    low, high = axis.ends
    assert low < 4.8 < 5.2 < high < 5.3
    (above,) = series["above the picture"].points
    assert low < above.y < high
    assert above.hover == "trial-0003: 60.4"
    assert [point.y for point in series["stopped early"].points] == [pytest.approx(5.0)]


def test_a_stopped_trial_below_all_others_is_in_the_picture() -> None:
    axis, series = drawn(of(trial(2, {}, val_ce=4.8), trial(4, {}, "PRUNED", 3.0)))
    assert axis.ends[0] < 3.8
    assert "above the picture" not in series


def test_a_complete_trial_far_above_the_others_sets_no_axis_but_the_best_of_an_arm_does() -> None:
    many = [trial(number, {}, val_ce=4.5 + 0.01 * number) for number in range(2, 12)]
    axis, series = drawn(synthetic.run(trials=(*many, trial(20, {}, val_ce=9.0))))
    assert axis.ends[1] < 4.7
    assert [point.hover for point in series["above the picture"].points] == ["trial-0020: 9.0"]
    axis, series = drawn(synthetic.run(trials=(*many, trial(20, {}, val_ce=9.0, arm="plain"))))
    assert axis.ends[1] > 9
    assert [point.y for point in series["plain"].points] == [9.0]


def test_each_arm_has_its_colour_and_its_shape() -> None:
    _, series = drawn(of(trial(2, {}, val_ce=4.8)))
    assert {name: each.shape for name, each in series.items()} == ARM_SHAPES
    assert len({each.colour for each in series.values()}) == 3
    assert [rule.name for rule in best_rules(of())] == ["best of plain: 5.200", "best of logits: 5.000"]


@pytest.mark.parametrize("values", [[], [4.0], [4.0, 4.0], [float("nan")]])
def test_without_two_values_the_axis_is_left_to_the_library(values) -> None:
    assert axis_of(values, "val/ce").ends is None
