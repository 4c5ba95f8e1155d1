"""Rungs, and what Tune is told at them: who rests, who never does, and that NaN cannot enter a rung."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from palenka_tune.search.tune.scheduler import RungScheduler
from palenka_tune.trials.rungs import rung_steps
from palenka_tune.trials.stopping import SuccessiveHalving


@pytest.mark.parametrize(
    ("total", "fractions", "expected"),
    [
        (200, [0.25, 0.5], [50, 100, 200]),
        (90, [1 / 9, 1 / 3], [10, 30, 90]),
        (200, [0.5, 0.25, 0.25], [50, 100, 200]),
        (32, [0.1], [3, 32]),
        (200, [], [200]),
        (1, [0.25, 0.5], [1]),
        (4, [0.01, 0.9], [1, 4]),
    ],
)
def test_rungs_end_with_the_last_step(total, fractions, expected):
    assert rung_steps(total, fractions) == expected


class Race:
    def __init__(self, total=90, fractions=(1 / 9, 1 / 3), reduction=3, unselected=()):
        self.rule = SuccessiveHalving(rung_steps(total, fractions), reduction)
        self.unselected = unselected
        self.scheduler = RungScheduler(self.judge)

    def judge(self, trial_id, step, value):
        """As the ledger does."""
        self.rule.report(trial_id, step, value)
        return trial_id in self.unselected or self.rule.continues(trial_id, step)

    def trial(self, name, judged_until=0):
        trial = SimpleNamespace(trial_id=name, config={"trial_id": name, "judged_until": judged_until})
        self.scheduler.on_trial_add(None, trial)
        return trial

    def report(self, trial, steps, value, **extra):
        result = {"steps": steps, "failed": None, **extra}
        if value is not None:
            result["val_ce"] = value
        return self.scheduler.on_trial_result(None, trial, result)


def test_the_worse_are_paused_at_a_rung_and_the_better_go_on():
    race = Race()
    assert race.report(race.trial("a"), 10, 5.0) == "CONTINUE"
    assert race.report(race.trial("b"), 10, 6.0) == "STOP"
    assert race.report(race.trial("c"), 10, 4.0) == "CONTINUE"
    assert race.scheduler.paused == {"b": 10}
    assert race.report(race.trial("c"), 30, 4.0) == "CONTINUE"
    assert race.report(race.trial("a"), 30, 5.0) == "STOP"
    assert race.scheduler.paused == {"b": 10, "a": 30}


def test_what_no_result_chose_is_measured_at_rungs_but_never_paused():
    race = Race(unselected=("b",))
    race.report(race.trial("a"), 10, 5.0)
    assert race.report(race.trial("b"), 10, 1.0) == "CONTINUE"
    assert race.report(race.trial("b"), 30, 9.0) == "CONTINUE"
    assert race.report(race.trial("c"), 10, 4.0) == "STOP"
    assert race.scheduler.paused == {"c": 10}
    assert race.rule.values == {10: {"a": 5.0, "b": 1.0, "c": 4.0}, 30: {"b": 9.0}}


def test_nobody_is_stopped_at_the_end_or_without_rungs():
    race = Race()
    first, second = race.trial("a"), race.trial("b")
    assert race.report(first, 90, 1.0) == "CONTINUE"
    assert race.report(second, 90, 9.0) == "CONTINUE"
    free = Race(fractions=())
    assert [free.report(free.trial(name), 90, value) for name, value in (("a", 1), ("b", 9))] == ["CONTINUE"] * 2


def test_a_trial_that_is_done_is_not_paused_whatever_is_said_of_it():
    scheduler = RungScheduler(lambda trial_id, step, value: False)
    trial = SimpleNamespace(config={"trial_id": "a", "judged_until": 0})
    assert scheduler.on_trial_result(None, trial, {"steps": 90, "val_ce": 9.0, "done": True}) == "CONTINUE"
    assert scheduler.paused == {}


def test_a_failed_trial_stops_and_leaves_no_value():
    race = Race()
    assert race.report(race.trial("a"), 10, None, failed="diverged") == "STOP"
    assert race.report(race.trial("n"), 10, float("nan"), failed="diverged") == "STOP"
    assert race.report(race.trial("b"), 10, 9.0) == "CONTINUE"
    assert race.scheduler.paused == {}
    assert race.rule.values[10] == {"b": 9.0}


def test_an_interrupted_trial_stops_and_leaves_no_value():
    race = Race()
    assert race.report(race.trial("a"), 7, None, interrupted=True) == "STOP"
    assert race.scheduler.paused == {}
    assert race.rule.values == {10: {}, 30: {}}


def test_a_trial_that_reports_a_rung_again_is_judged_by_the_others_only():
    race = Race()
    race.report(race.trial("a"), 10, 5.0)
    again = race.trial("b")
    assert race.report(again, 10, 6.0) == "STOP"
    assert race.report(again, 10, 6.0) == "STOP"
    assert race.report(race.trial("a"), 10, 5.0) == "CONTINUE"


def test_a_promoted_trial_is_not_judged_again_at_its_old_rung():
    """Its checkpoint is that of the rung, so that it reports there first, though others have overtaken it since."""
    race = Race()
    for name, value in (("a", 5.0), ("c", 3.0), ("d", 3.5)):
        race.report(race.trial(name), 10, value)
    race.scheduler.paused.clear()
    promoted = race.trial("a", judged_until=10)
    assert race.report(promoted, 10, 5.0) == "CONTINUE"
    assert race.scheduler.paused == {}
    race.report(race.trial("c"), 30, 3.0)
    assert race.report(promoted, 30, 4.0) == "STOP"  # but at the next one it is
    assert race.scheduler.paused == {"a": 30}


def test_a_rung_that_a_promoted_trial_did_not_have_a_value_at_hears_of_it_all_the_same():
    race = Race()
    race.report(race.trial("a", judged_until=10), 10, 5.0)
    assert race.rule.values[10] == {"a": 5.0}
