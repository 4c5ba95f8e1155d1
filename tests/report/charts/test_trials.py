"""The trials' charts: every trial is where its numbers say, and what cannot be drawn is not."""

from __future__ import annotations

import dataclasses
import math

import pytest

from palenka_tune.report.charts.colours import ARM_COLOURS
from palenka_tune.report.charts.figure import GAP
from palenka_tune.report.charts.trials import (
    NOWHERE,
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
    return synthetic.run(settings=settings, trials=(*synthetic.fixed()[:2], *trials))


def test_curves_are_joined_with_gaps_and_pruned_ones_are_faded() -> None:
    run = small(
        trial(2, {"beta": 3.0}, "PRUNED", 5.1),
        trial(4, {"beta": 1.0}, "PRUNED", 5.1),
        trial(5, {"beta": 2.0}, val_ce=4.9),
        trial(6, {"beta": 9.0}, val_ce=4.8),
        trial(7, {"beta": 7.0}, "PRUNED", 99.0),
    )
    plot = curves(run)
    pruned, whole = series_named(plot, "stopped early"), series_named(plot, "hidden")
    assert pruned.faded
    assert not whole.faded
    assert [point.x for point in pruned.points if point != GAP] == [225, 225, 225, 450]
    assert [point for point in pruned.points if math.isnan(point.y)] == [GAP] * 3
    assert [point.x for point in whole.points if point != GAP] == [225, 450, 900]
    assert whole.colour == ARM_COLOURS["hidden"]
    best = series_named(plot, "best, trial-0006")
    assert [point.y for point in best.points if point != GAP][-1] == 4.8
    assert best.colour == ARM_COLOURS["hidden"]
    assert series_named(plot, "best of logits").dashed
    assert series_named(plot, "best of plain").dashed


def test_a_curve_far_above_the_complete_ones_is_a_triangle_at_the_edge_with_its_value() -> None:
    plot = curves(small(trial(2, {"beta": 3.0}, val_ce=4.8), trial(3, {"beta": 7.0}, "PRUNED", 99.0)))
    low, top = plot.y.ends
    whole = [point.y for series in plot.series if series.name.startswith("best") for point in series.points]
    assert low < min(whole) < max(value for value in whole if not math.isnan(value)) < top < 10
    (point,) = series_named(plot, "above the picture").points
    assert low < point.y < top
    assert point.hover == "trial-0003 (hidden), step 450: 99.4000"


def test_a_trial_that_still_trains_has_its_curve() -> None:
    plot = curves(small(trial(2, {"beta": 3.0}, "RUNNING", 4.0)))
    assert [point.x for point in series_named(plot, "still training").points if point != GAP] == [225]


def test_a_paused_trial_is_drawn_like_one_that_was_stopped() -> None:
    paused = dataclasses.replace(trial(2, {"beta": 3.0}, "RUNNING", 4.0), state="PAUSED")
    run = small(paused, trial(3, {"beta": 9.0}))
    assert [point.x for point in series_named(curves(run), "stopped early").points if point != GAP] == [225]
    assert [point.x for point in series_named(slice_of(run, BETA), "stopped early").points] == [3.0]


def test_the_best_so_far_goes_down_in_stairs_over_the_order_of_proposal() -> None:
    values = (5.0, 5.1, 4.7, 4.9)
    run = small(*(trial(number + 2, {"beta": 1.0 + number}, val_ce=value) for number, value in enumerate(values)))
    plot = history_figure(run).charts[0].body
    best = series_named(plot, "best so far")
    assert [(point.x, point.y) for point in best.points] == [
        *((1, 5.2), (2, 5.2), (2, 5.0)),  # the fixed settings
        *((3, 5.0), (4, 5.0), (5, 5.0), (5, 4.7), (6, 4.7)),
    ]
    assert {rule.name for rule in plot.rules} == {
        "best of plain: 5.200",
        "best of logits: 5.000",
        "best of hidden: 4.700",
    }


def test_a_slice_has_every_trial_that_ended_at_its_value() -> None:
    run = synthetic.run(60)
    plot = slice_of(run, BETA)
    ended = [each for each in run.trials if each.arm == "hidden" and each.val_ce is not None]
    assert sum(len(series.points) for series in plot.series) == len(ended)
    assert plot.x.log
    by_x = {point.x: point for series in plot.series for point in series.points}
    top = plot.y.ends[1]
    for each in ended:
        point = by_x[each.settings["beta"]]
        assert point.y == each.val_ce or (each.val_ce > top >= point.y)
        assert f"{each.val_ce:.4f}" in point.hover
    assert any(each.val_ce > top for each in ended)


def test_a_slice_has_the_trials_of_every_arm_that_has_the_setting() -> None:
    run = synthetic.run(60)
    arms = {
        name: {series.name for series in slice_of(run, setting).series} & {*ARM_COLOURS}
        for name, setting in (("lr", synthetic.SETTINGS[0]), ("alpha", synthetic.SETTINGS[1]), ("beta", BETA))
    }
    assert arms == {"lr": {"plain", "logits", "hidden"}, "alpha": {"logits", "hidden"}, "beta": {"hidden"}}


def test_choices_stand_in_order_with_what_is_no_number_last() -> None:
    rank = Setting("projection.rank", "choice", choices=(None, 64, 16))
    assert list(places_of(rank, []).values()) == [(0.0, "16"), (1.0, "64"), (2.0, "full")]
    maps = Setting("projection.layer_map", "choice", choices=({"4": 4}, "last"))
    assert [text for _, text in places_of(maps, []).values()] == ['{"4": 4}', "last"]
    assert places_of(BETA, []) is None


def test_true_is_not_one() -> None:
    both = Setting("projection.center", "choice", choices=(True, False, 1))
    assert len(places_of(both, [])) == 3


@pytest.mark.parametrize("name", ["projection.center", "beta", "alpha"])
def test_the_line_of_a_trial_that_lacks_a_setting_passes_at_n_a(name) -> None:
    run = synthetic.run(60)
    figure = parallel_figure(run)
    place = [setting.name for setting in run.settings].index(name)
    width = len(run.settings) + 2  # settings, val/ce, a gap
    found = []
    for series in figure.charts[0].body.series:
        for start in range(0, len(series.points), width):
            points = series.points[start : start + width]
            found.append((points[0].hover.partition(":")[0], points[place].y == NOWHERE))
    lacking = {each.trial_id: name not in each.settings for each in run.complete()}
    assert {trial.partition(" ")[0]: is_lacking for trial, is_lacking in found} == lacking
    assert len(found) == len(lacking)
    assert (place, NOWHERE, "n/a") in figure.charts[0].body.labels


def test_a_setting_that_every_trial_has_needs_no_n_a() -> None:
    labels = parallel_figure(synthetic.run(60)).charts[0].body.labels
    assert {label.x for label in labels if label.text == "n/a"} == set(range(1, len(synthetic.SETTINGS)))


def test_the_best_tenth_is_set_apart() -> None:
    run = synthetic.run(100)
    best = series_named(parallel_figure(run).charts[0].body, "best tenth")
    ids = {point.hover.partition(" ")[0] for point in best.points if point.hover}
    whole = run.complete()
    assert ids == {each.trial_id for each in whole[: math.ceil(len(whole) / 10)]}


def test_heights_are_from_low_to_high_on_every_axis() -> None:
    for series in parallel_figure(synthetic.run(60)).charts[0].body.series:
        known = [point.y for point in series.points if not math.isnan(point.y) and point.y != NOWHERE]
        assert 0 <= min(known) <= max(known) <= 1


def test_beta_is_shown_first_else_the_first_number() -> None:
    assert main_setting(synthetic.run()).name == "beta"
    assert main_setting(synthetic.run(settings=synthetic.SETTINGS[:3])).name == "recipe.lr"
    assert main_setting(synthetic.run(settings=synthetic.SETTINGS[4:5])) is None
    assert len(search_figure(synthetic.run(settings=synthetic.SETTINGS[4:5])).charts) == 1


def test_what_has_no_trial_has_no_chart() -> None:
    run = synthetic.run(trials=())
    assert history_figure(run) is None
    assert slices_figure(run) is None
    assert parallel_figure(run) is None
    assert search_figure(run) is None


def test_a_fixed_value_outside_of_what_is_searched_is_at_the_end_of_its_axis() -> None:
    run = small(trial(2, {"beta": 0.0001}, val_ce=4.5), trial(3, {"beta": 9.0}), settings=(BETA, synthetic.SETTINGS[0]))
    heights = [point.y for series in parallel_figure(run).charts[0].body.series for point in series.points]
    assert min(height for height in heights if height != NOWHERE and not math.isnan(height)) == 0


def test_settings_of_one_value_and_equal_results_are_drawn() -> None:
    one = Setting("temperature", "choice", choices=(2,))
    same = Setting("recipe.lr", "uniform", low=0.1, high=0.1)
    trials = [trial(n, {"temperature": 2, "recipe.lr": 0.1}, val_ce=4.5) for n in (2, 3)]
    assert parallel_figure(small(*trials, settings=(one, same))) is not None
