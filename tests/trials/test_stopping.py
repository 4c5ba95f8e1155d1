"""Every stopping rule: the last step stops no trial, and one that is rebuilt decides as the one that was lost."""

from __future__ import annotations

import random
from typing import get_args, get_type_hints

import pytest

from palenka_tune.report.facts import asked
from palenka_tune.search.plan_text import plan
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import tree
from palenka_tune.spaces.settings import SearchSettings
from palenka_tune.trials.stopping import STOPPING_RULES

STEPS = [10, 30, 90]


@pytest.fixture(params=STOPPING_RULES)
def make(request):
    return lambda: STOPPING_RULES[request.param](STEPS, 3)


def test_the_last_step_stops_no_trial(make):
    rule, generator = make(), random.Random(0)
    assert all(rule.continues(f"t{n}", STEPS[-1], generator.gauss(3, 1)) for n in range(50))


def test_the_first_at_a_rung_continues(make):
    rule = make()
    assert all(rule.continues("first", step, 1e9) for step in STEPS)


def test_a_rule_that_is_rebuilt_decides_as_the_one_that_was_lost(make):
    generator, curves = random.Random(1), {}
    lost = make()
    for number in range(30):
        for step in STEPS:
            value = generator.gauss(3, 1)
            curves.setdefault(f"t{number}", {})[step] = value
            if not lost.continues(f"t{number}", step, value):
                break
    rebuilt = make()
    rebuilt.restore(curves)
    reports = [(f"new{n}", STEPS[n % 2], generator.gauss(3, 1)) for n in range(40)]
    decisions = [(lost.continues(*report), rebuilt.continues(*report)) for report in reports]
    assert all(before == after for before, after in decisions)


def test_the_names_of_a_search_space_are_those_of_the_registry():
    assert set(get_args(get_type_hints(SearchSettings)["stopping"])) == set(STOPPING_RULES)


def test_only_without_a_rule_all_continue():
    kept = {}
    for name, rule in STOPPING_RULES.items():
        judge, generator = rule(STEPS, 3), random.Random(2)
        kept[name] = sum(judge.continues(f"t{n}", 10, generator.gauss(3, 1)) for n in range(60))
    assert kept["none"] == 60
    assert 10 < kept["asha"] < 40


def test_a_plan_and_a_report_name_the_rule_that_stops_trials_if_one_does():
    for settings, text in (
        ((), "ASHA with 2 rungs, the best 1/3 continue"),
        ((("search.stopping", "none"),), "no early stopping"),
        ((("search.rungs", 0),), "no early stopping"),
    ):
        config = resolve("dskd", assignments=settings)
        assert f"besides 2 anchors; {text};" in plan(config)
        said = next(asked(tree(config)))
        assert said.endswith("no trial was stopped early." if text == "no early stopping" else f"by {text}.")
    old = tree(resolve("dskd"))
    del old["search"]["stopping"]  # as a search of an earlier version has it
    assert next(asked(old)).endswith("by ASHA with 2 rungs, the best 1/3 continue.")
