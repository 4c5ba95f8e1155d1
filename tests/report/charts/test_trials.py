"""The trials' charts: every trial is where its numbers say, and what cannot be drawn is not."""

from __future__ import annotations

import math

import pytest

from palenka_tune.report.charts.figure import GAP
from palenka_tune.report.charts.trials import (
    curves,
    history_figure,
    main_setting,
    parallel_figure,
    places_of,
    search_figure,
    slice_of,
    slices_figure,
)
from palenka_tune.report.data import Setting
from tests.report import synthetic
from tests.report.synthetic import trial

BETA = Setting("beta", "log_uniform", low=0.3, high=100.0)


def series_named(plot, name):
    (found,) = (series for series in plot.series if series.name == name)
    return found


def small(*trials, settings=(BETA,)):
    return synthetic.run(settings=settings, trials=(*synthetic.anchors(), *trials))


def test_curves_are_joined_with_gaps_and_pruned_ones_are_faded() -> None:
    run = small(
        trial(2, {"beta": 3.0}, "PRUNED", 5.1),
        trial(4, {"beta": 1.0}, "PRUNED", 5.1),
        trial(5, {"beta": 2.0}, val_ce=4.9),
        trial(6, {"beta": 9.0}, val_ce=4.8),
    )
    plot = curves(run)
    pruned, whole = series_named(plot, "stopped early"), series_named(plot, "trained to the end")
    assert pruned.faded
    assert not whole.faded
    assert [point.x for point in pruned.points if point != GAP] == [100, 100]
    assert [point for point in pruned.points if math.isnan(point.y)] == [GAP, GAP]
    assert [point.x for point in whole.points if point != GAP] == [100, 300, 900]
    assert [point.y for point in series_named(plot, "best, trial-0006").points if point != GAP][-1] == 4.8
    assert series_named(plot, "vanilla KD").dashed


def test_a_trial_that_still_trains_has_its_curve() -> None:
    plot = curves(small(trial(2, {"beta": 3.0}, "RUNNING", 4.0)))
    assert [point.x for point in series_named(plot, "still training").points if point != GAP] == [100]


def test_the_best_so_far_goes_down_in_stairs_over_the_order_of_proposal() -> None:
    values = (5.0, 5.1, 4.7, 4.9)
    run = small(*(trial(number + 2, {"beta": 1.0 + number}, val_ce=value) for number, value in enumerate(values)))
    plot = history_figure(run).charts[0].body
    best = series_named(plot, "best so far")
    assert [(point.x, point.y) for point in best.points] == [(1, 5.0), (2, 5.0), (3, 5.0), (3, 4.7), (4, 4.7)]
    assert {rule.name for rule in plot.rules} == {"no distillation: 5.200", "vanilla KD: 5.000"}


def test_a_slice_has_every_trial_that_ended_at_its_value() -> None:
    run = synthetic.run(60)
    plot = slice_of(run, synthetic.SETTINGS[1])
    ended = [each for each in run.proposed() if each.val_ce is not None]
    assert sum(len(series.points) for series in plot.series) == len(ended)
    assert plot.x.log
    by_x = {point.x: point.y for series in plot.series for point in series.points}
    assert all(by_x[each.settings["beta"]] == each.val_ce for each in ended)


def test_choices_stand_in_order_with_what_is_no_number_last() -> None:
    rank = Setting("projection.rank", "choice", choices=(None, 64, 16))
    assert list(places_of(rank, []).values()) == [(0.0, "16"), (1.0, "64"), (2.0, "full")]
    maps = Setting("projection.layer_map", "choice", choices=({"4": 4}, "last"))
    assert [text for _, text in places_of(maps, []).values()] == ['{"4": 4}', "last"]
    assert places_of(BETA, []) is None


def test_true_is_not_one() -> None:
    both = Setting("projection.center", "choice", choices=(True, False, 1))
    assert len(places_of(both, [])) == 3


def test_a_conditional_setting_breaks_the_line_of_a_trial_that_lacks_it() -> None:
    run = synthetic.run(60)
    figure = parallel_figure(run)
    place = [setting.name for setting in run.settings].index("projection.center")
    width = len(run.settings) + 2  # settings, val/ce, a gap
    found = []
    for series in figure.charts[0].body.series:
        for start in range(0, len(series.points), width):
            points = series.points[start : start + width]
            found.append((points[0].hover.partition(":")[0], math.isnan(points[place].y)))
    lacking = {each.trial_id: "projection.center" not in each.settings for each in run.complete()}
    assert dict(found) == lacking
    assert len(found) == len(lacking)


def test_the_best_tenth_is_set_apart() -> None:
    run = synthetic.run(100)
    best = series_named(parallel_figure(run).charts[0].body, "best tenth")
    ids = {point.hover.partition(":")[0] for point in best.points if point.hover}
    whole = run.complete()
    assert ids == {each.trial_id for each in whole[: math.ceil(len(whole) / 10)]}


def test_heights_are_from_low_to_high_on_every_axis() -> None:
    for series in parallel_figure(synthetic.run(60)).charts[0].body.series:
        known = [point.y for point in series.points if not math.isnan(point.y)]
        assert 0 <= min(known) <= max(known) <= 1


def test_beta_is_shown_first_else_the_first_number() -> None:
    assert main_setting(synthetic.run()).name == "beta"
    assert main_setting(synthetic.run(settings=synthetic.SETTINGS[2:])).name == "temperature"
    assert main_setting(synthetic.run(settings=synthetic.SETTINGS[3:4])) is None
    assert len(search_figure(synthetic.run(settings=synthetic.SETTINGS[3:4])).charts) == 1


@pytest.mark.parametrize("trials", [(), tuple(synthetic.anchors())], ids=["no trial", "anchors only"])
def test_what_has_no_trial_has_no_chart(trials) -> None:
    run = synthetic.run(trials=trials)
    assert history_figure(run) is None
    assert slices_figure(run) is None
    assert parallel_figure(run) is None
    assert (search_figure(run) is None) == (not trials)


def test_settings_of_one_value_and_equal_results_are_drawn() -> None:
    one = Setting("temperature", "choice", choices=(2,))
    same = Setting("recipe.lr", "uniform", low=0.1, high=0.1)
    trials = [trial(n, {"temperature": 2, "recipe.lr": 0.1}, val_ce=4.5) for n in (2, 3)]
    assert parallel_figure(small(*trials, settings=(one, same))) is not None
