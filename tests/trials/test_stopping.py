"""Stopping rules: who continues from a rung, who is promoted later, and that one that is rebuilt decides the same."""

from __future__ import annotations

import random
from typing import get_args, get_type_hints

import pytest

from palenka_tune.report.facts import asked
from palenka_tune.search.plan_text import plan
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import tree
from palenka_tune.spaces.settings import SearchSettings
from palenka_tune.trials.stopping import STOPPING_RULES, SuccessiveHalving, expected_share, stopping_text

STEPS = [10, 30, 90]


@pytest.fixture(params=STOPPING_RULES)
def make(request):
    return lambda: STOPPING_RULES[request.param](STEPS, 3)


def judge(rule, name, step, value):
    rule.report(name, step, value)
    return rule.continues(name, step)


def filled(values, step=10, reduction=3):
    """ASHA with a rung at which trials reported these values: t0, t1, ..."""
    rule = SuccessiveHalving(STEPS, reduction)
    for number, value in enumerate(values):
        rule.report(f"t{number}", step, value)
    return rule


def going_on(rule, count, step=10):
    return [number for number in range(count) if rule.continues(f"t{number}", step)]


def test_the_last_step_stops_no_trial(make):
    rule, generator = make(), random.Random(0)
    assert all(judge(rule, f"t{n}", STEPS[-1], generator.gauss(3, 1)) for n in range(50))


def test_the_first_at_a_rung_continues(make):
    rule = make()
    assert all(judge(rule, "first", step, 1e9) for step in STEPS)


def test_a_step_that_is_no_rung_stops_no_trial(make):
    rule = make()
    for number in range(10):
        rule.report(f"t{number}", 10, float(number))
    assert judge(rule, "t9", 11, 99.0)


def test_a_rule_that_is_rebuilt_decides_as_the_one_that_was_lost(make):
    generator, reports, paused = random.Random(1), [], {}
    lost = make()
    for number in range(30):
        for step in STEPS:
            value = round(generator.gauss(3, 1), 1)
            reports.append((f"t{number}", step, value))
            if not judge(lost, *reports[-1]):
                paused[f"t{number}"] = step
                break
    rebuilt = make()
    for report in generator.sample(reports, len(reports)):  # a rule knows no order
        rebuilt.report(*report)
    assert lost.promoted(paused) == rebuilt.promoted(paused)
    for number in range(40):
        report = (f"new{number}", STEPS[number % 2], generator.gauss(3, 1))
        assert judge(lost, *report) == judge(rebuilt, *report)
        assert lost.promoted(paused) == rebuilt.promoted(paused)
        assert all(lost.continues(*each) == rebuilt.continues(*each) for each in paused.items())


@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_the_best_of_a_rung_continue_and_there_is_always_one(reduction):
    generator = random.Random(reduction)
    for size in range(1, 30):
        values = [round(generator.gauss(3, 0.5), 1) for _ in range(size)]
        rule = filled(values, reduction=reduction)
        found = going_on(rule, size)
        assert len(found) == max(1, size // reduction)
        rest = [values[number] for number in range(size) if number not in found]
        assert not rest or max(values[number] for number in found) <= min(rest)
        assert going_on(rule, size, step=30) == list(range(size))  # at another rung nobody has reported


def test_of_equal_trials_as_many_continue_as_of_others():
    rule = filled([3.0] * 9)
    assert going_on(rule, 9) == [0, 1, 2]


def test_the_first_value_that_a_trial_reports_at_a_rung_counts():
    rule = filled([1.0, 2.0, 3.0])
    rule.report("t2", 10, 0.5)
    assert going_on(rule, 3) == [0]
    assert rule.values[10]["t2"] == 3.0


def test_what_continued_once_may_be_overtaken_and_what_was_paused_may_be_promoted():
    rule = filled([5.0])
    assert going_on(rule, 1) == [0]
    assert judge(rule, "t1", 10, 4.0)
    assert not rule.continues("t0", 10)
    assert rule.promoted({"t0": 10}) is None
    for number in range(2, 5):
        rule.report(f"t{number}", 10, 9.0)
        assert rule.promoted({"t0": 10}) is None
    rule.report("t5", 10, 9.0)  # the best 2 of 6
    assert rule.promoted({"t0": 10}) == "t0"


def test_the_best_of_those_that_may_go_on_is_promoted_first():
    rule = filled([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert rule.promoted({"t2": 10, "t1": 10, "t8": 10}) == "t1"
    assert rule.promoted({"t2": 10, "t8": 10}) == "t2"
    assert rule.promoted({"t3": 10, "t8": 10}) is None
    assert rule.promoted({}) is None


def test_a_later_rung_comes_first():
    rule = filled([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    for number, value in enumerate((9.0, 8.0, 9.5, 9.6)):
        rule.report(f"u{number}", 30, value)
    assert rule.promoted({"t0": 10, "t1": 10}) == "t0"
    assert rule.promoted({"t0": 10, "u1": 30}) == "u1"  # although its value is the highest
    assert rule.promoted({"t0": 10, "u0": 30}) == "t0"  # which may not go on there


def test_promotion_leaves_no_trial_behind_that_may_go_on():
    """Trials that come one after the other: at the end the best 1/reduction of each rung have gone on, if no more."""
    generator = random.Random(3)
    rule, paused, passed = SuccessiveHalving(STEPS, 3), {}, {10: set(), 30: set()}

    def goes_on_from(name, step):
        for later in (each for each in STEPS[:-1] if each > step):
            if not judge(rule, name, later, generator.gauss(3, 1)):
                paused[name] = later
                return
            passed[later].add(name)

    for number in range(60):
        goes_on_from(f"t{number}", 0)
        while (name := rule.promoted(paused)) is not None:
            step = paused.pop(name)
            passed[step].add(name)
            goes_on_from(name, step)
    for step, reported in rule.values.items():
        best = sorted(reported, key=reported.get)[: len(reported) // 3]
        assert set(best) <= passed[step]
        assert len(passed[step]) < 0.6 * len(reported)
    assert len(rule.values[30]) == len(passed[10])


def test_without_a_rule_whatever_is_paused_goes_on():
    """As in a search that was paused by ASHA and is resumed with `search.stopping=none`."""
    rule = STOPPING_RULES["none"](STEPS, 3)
    assert rule.promoted({"t2": 10, "t1": 30}) == "t1"
    assert rule.promoted({}) is None


def test_the_names_of_a_search_space_are_those_of_the_registry():
    assert set(get_args(get_type_hints(SearchSettings)["stopping"])) == set(STOPPING_RULES)


def test_only_without_a_rule_all_continue():
    kept = {}
    for name, rule in STOPPING_RULES.items():
        rung, generator = rule(STEPS, 3), random.Random(2)
        kept[name] = sum(judge(rung, f"t{n}", 10, generator.gauss(3, 1)) for n in range(60))
    assert kept["none"] == 60
    assert 10 < kept["asha"] < 40


def test_a_plan_and_a_report_name_the_rule_that_pauses_trials_if_one_does(tmp_path):
    for settings, text in (
        ((), "ASHA pauses all but the best 1/2 of an arm at each rung, 25 % and 50 % of the steps"),
        (
            (("search.rungs", [0.1]), ("search.reduction", 4)),
            "ASHA pauses all but the best 1/4 of an arm at each rung, 10 % of the steps",
        ),
        ((("search.stopping", "none"),), "no early stopping"),
        ((("search.rungs", []),), "no early stopping"),
    ):
        config = resolve("dskd", assignments=settings)
        assert f"by tpe; {text}" in plan(config, tmp_path)
        said = next(asked(tree(config)))
        assert ("no trial was stopped early." if text == "no early stopping" else text) in said
    old = tree(resolve("dskd"))
    del old["search"]["stopping"]  # as searches of earlier versions have it
    assert "at each rung, 25 % and 50 % of the steps" in next(asked(old))
    old["search"] |= {"rungs": 2, "reduction": 3}
    assert "best 1/3 of an arm at each rung, 11.11 % and 33.33 % of the steps" in next(asked(old))
    assert stopping_text("none", [0.5], 2) == stopping_text("asha", [], 2) == ""


@pytest.mark.parametrize(("steps", "reduction"), [([25, 50, 100], 2), ([10, 30, 90], 3), ([100], 2)])
def test_many_trials_train_the_expected_share_of_their_steps(steps, reduction):
    """All report and pause, and the best are promoted until none may go on."""
    rule, generator, paused, trained = SuccessiveHalving(steps, reduction), random.Random(0), {}, {}

    def train(name, at):
        for step in steps:
            if step > at:
                trained[name] = step
                if not judge(rule, name, step, generator.random()):
                    paused[name] = step
                    return

    for number in range(120):
        train(f"t{number}", 0)
        while (ready := rule.promoted(paused)) is not None:
            train(ready, paused.pop(ready))
    share = sum(trained.values()) / (120 * steps[-1])
    assert share == pytest.approx(
        expected_share(steps, "asha", reduction), abs=0.1
    )  # a few continue that are overtaken
    assert expected_share(steps, "none", reduction) == 1


def test_a_search_of_unknown_length_has_no_smaller_share():
    assert expected_share([], "asha", 2) == 1


def test_a_plan_says_which_trials_nothing_pauses(tmp_path):
    lines = {}
    for samples in (10, 30):
        text = plan(resolve("dskd", options={"search.samples": samples}), tmp_path).splitlines()
        lines[samples] = next(line for line in text if line.startswith("  start-up"))
    assert "all of them are fixed settings and random start-up points" in lines[10]
    assert "the first of each arm, 15 in all" in lines[30]
    assert "tpe proposes the others" in lines[30]
    assert "start-up" not in plan(resolve("poster_grid"), tmp_path)
