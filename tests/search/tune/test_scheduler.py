"""ASHA's decisions on rungs: who is stopped, who never is, and that NaN cannot enter a rung."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from palenka_tune.search.tune.scheduler import RungScheduler
from palenka_tune.trials.rungs import rung_steps
from palenka_tune.trials.stopping import SuccessiveHalving


@pytest.mark.parametrize(
    ("total", "rungs", "reduction", "expected"),
    [
        (200, 2, 3, [23, 69, 200]),
        (90, 2, 3, [10, 30, 90]),
        (32, 1, 3, [11, 32]),
        (200, 0, 3, [200]),
        (1, 2, 3, [1]),
        (4, 3, 3, [1, 3, 4]),
    ],
)
def test_rungs_end_with_the_last_step(total, rungs, reduction, expected):
    assert rung_steps(total, rungs, reduction) == expected


class Race:
    def __init__(self, total=90, rungs=2, reduction=3):
        self.rungs = SuccessiveHalving(rung_steps(total, rungs, reduction), reduction)
        self.scheduler = RungScheduler(self.rungs)

    def trial(self, name, anchor=None):
        trial = SimpleNamespace(trial_id=name, config={"trial_id": name, "anchor": anchor})
        self.scheduler.on_trial_add(None, trial)
        return trial

    def report(self, trial, steps, value, **extra):
        result = {"steps": steps, "failed": None, **extra}
        if value is not None:
            result["val_ce"] = value
        return self.scheduler.on_trial_result(None, trial, result)


def test_the_worse_are_stopped_at_a_rung_and_the_better_go_on():
    race = Race()
    assert race.report(race.trial("a"), 10, 5.0) == "CONTINUE"
    assert race.report(race.trial("b"), 10, 6.0) == "STOP"
    assert race.report(race.trial("c"), 10, 4.0) == "CONTINUE"
    assert race.scheduler.pruned == {"b"}


def test_anchors_are_measured_at_rungs_but_never_stopped():
    race = Race()
    race.report(race.trial("a"), 10, 5.0)
    anchor = race.trial("b", anchor="no_distillation")
    assert race.report(anchor, 10, 9.0) == "CONTINUE"
    assert race.report(race.trial("c"), 10, 7.0) == "STOP"
    assert race.scheduler.pruned == {"c"}


def test_nobody_is_stopped_at_the_end_or_without_rungs():
    race = Race()
    first, second = race.trial("a"), race.trial("b")
    assert race.report(first, 90, 1.0) == "CONTINUE"
    assert race.report(second, 90, 9.0) == "CONTINUE"
    free = Race(rungs=0)
    assert [free.report(free.trial(name), 90, value) for name, value in (("a", 1), ("b", 9))] == ["CONTINUE"] * 2


def test_a_failed_trial_stops_and_leaves_no_value():
    race = Race()
    assert race.report(race.trial("a"), 10, None, failed="diverged") == "STOP"
    assert race.report(race.trial("b"), 10, 9.0) == "CONTINUE"
    assert race.scheduler.pruned == set()


def test_an_interrupted_trial_stops_and_leaves_no_value():
    race = Race()
    assert race.report(race.trial("a"), 7, None, interrupted=True) == "STOP"
    assert race.scheduler.pruned == set()
    assert race.rungs.values == {10: {}, 30: {}}


def test_a_trial_that_reports_a_rung_again_is_judged_by_the_others_only():
    race = Race()
    race.report(race.trial("a"), 10, 5.0)
    again = race.trial("b")
    assert race.report(again, 10, 6.0) == "STOP"
    assert race.report(again, 10, 6.0) == "STOP"
    assert race.report(race.trial("a"), 10, 5.0) == "CONTINUE"


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_decisions_are_those_of_rays_asha(reduction):
    """A few hundred reports in random order, with ties, through both."""
    from ray.tune.schedulers import AsyncHyperBandScheduler

    generator = random.Random(reduction)
    steps = rung_steps(200, 2, reduction)
    rays = AsyncHyperBandScheduler(
        time_attr="steps",
        metric="val_ce",
        mode="min",
        max_t=200,
        grace_period=steps[0],
        reduction_factor=reduction,
        stop_last_trials=False,
    )
    ours = SuccessiveHalving(steps, reduction)
    waiting = {f"t{number}": list(steps) for number in range(80)}
    trials = {name: SimpleNamespace(trial_id=name) for name in waiting}
    for trial in trials.values():
        rays.on_trial_add(None, trial)
    decisions = []
    while waiting:
        name = generator.choice(sorted(waiting))
        step = waiting[name].pop(0)
        value = round(generator.gauss(3.0, 0.5), 1)
        theirs = rays.on_trial_result(None, trials[name], {"steps": step, "val_ce": value})
        goes_on = ours.continues(name, step, value)
        if step < 200:
            decisions.append(goes_on)
            assert goes_on == (theirs == "CONTINUE"), (name, step, value)
        if not goes_on or not waiting[name]:
            del waiting[name]
    assert {True, False} == set(decisions)


def test_rungs_that_are_rebuilt_decide_as_those_that_were_lost():
    first = SuccessiveHalving([10, 30, 90], 3)
    curves = {name: {10: value, 30: value - 1} for name, value in (("a", 4.0), ("b", 5.0), ("c", 4.5))}
    for name, curve in curves.items():
        for step, value in curve.items():
            first.continues(name, step, value)
    second = SuccessiveHalving([10, 30, 90], 3)
    second.restore({name: {**curve, 90: 1.0} for name, curve in curves.items()})
    assert second.values == first.values
