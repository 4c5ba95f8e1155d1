"""A setting is trained once in an arm, whatever a sampler proposes, and a space that is all known ends the arm."""

from __future__ import annotations

from collections import Counter

import pytest

from palenka_tune.spaces.samplers import SAMPLERS
from palenka_tune.spaces.space import parse_space
from palenka_tune.trials import ledger as ledger_module
from palenka_tune.trials.arms import HIDDEN, LOGITS, PLAIN, Arm
from tests.support.ledgers import DISCRETE, arms_for, end, open_ledger, run_all, sum_of_weights


def to_the_edge(values) -> float:
    """Falls to the end of every range."""
    return -sum_of_weights(values)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_a_sampler_that_repeats_itself_draws_at_random_until_all_samples_ran(tmp_path, sampler):
    ledger = open_ledger(tmp_path, sampler=sampler, samples=14)
    values = run_all(ledger, to_the_edge)[3:]
    assert len(values) == len({(round(each["alpha"], 6), round(each["beta"], 6)) for each in values}) == 14
    assert len(ledger.study.trials) == 17


SMALL = {
    "choices": ({"alpha": {"choice": [0.1, 0.5, 0.9]}}, 3),
    "whole numbers": ({"projection.rank": {"int": [4, 6]}}, 3),
    "a product": (DISCRETE, 6),
    "0 and 0.0": ({"alpha": {"choice": [0, 0.0, 1]}}, 2),
    "one value": ({"alpha": {"choice": [1]}}, 1),
    "a range without a width": ({"alpha": {"log_uniform": [2, 2]}}, 1),
    "a range of three floats": ({"alpha": {"uniform": [1.0, 1.0000000000000004]}}, 1),
    "ranges of three values": ({name: {"log_uniform": [1.0, 1.00002]} for name in ("alpha", "beta")}, 9),
    "a condition": (
        {"alpha": {"choice": [1, 2, 3]}, "projection.rank": {"choice": [16, 32], "when": {"alpha": [1, 2]}}},
        5,
    ),
    "idle choices": ({"beta": {"choice": [0, 1]}, "projection.rank": {"choice": [16, 32, 64]}}, 4),
    "an idle range": ({"beta": {"choice": [0]}, "beta_until": {"log_uniform": [0.1, 1]}}, 1),
    "a condition on what is idle": (
        {
            "projection.rank": {"choice": [16, 32, 64]},
            "beta": {"choice": [0]},
            "recipe.lr": {"choice": [0.1, 0.2], "when": {"projection.rank": 16}},
        },
        3,
    ),
    "maps": ({"divergence_weight": {"choice": [1.0, {"2": 1.0, "10": 2.0}, {10: 2.0, 2: 1.0}]}}, 2),
}


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
@pytest.mark.parametrize("kind", SMALL)
def test_a_small_space_is_searched_whole_and_its_end_is_said_with_numbers(tmp_path, sampler, kind, logged):
    raw, size = SMALL[kind]
    ledger = open_ledger(tmp_path, raw, sampler, arms=arms_for(raw, {HIDDEN: 24}, has_fixed=False)[2:])
    proposals = [ledger.ask() for _ in range(size)]
    assert [ledger.ask() for _ in range(5)] == [None] * 5
    for proposal in proposals:
        end(ledger, proposal, sum_of_weights({}))
    assert ledger.ask() is None
    assert len(ledger.study.trials) == size
    held = "1 setting, which was tried" if size == 1 else f"{size} settings, all of them tried"
    assert logged == [f"hidden: its space holds {held}; {size} of 24 samples ran"]
    assert ledger.arms[HIDDEN].trials == size


def test_a_grid_with_idle_choices_trains_each_student_once(tmp_path):
    raw = {"beta": {"choice": [0, 1]}, "projection.rank": {"choice": [16, 32, 64]}}
    values = run_all(ledger := open_ledger(tmp_path, raw, "grid", arms=arms_for(raw, {HIDDEN: 6}, has_fixed=False)))
    assert Counter(each["beta"] for each in values) == {0: 1, 1: 3}
    assert len(ledger.study.trials) == 4


def test_a_space_that_is_exhausted_is_not_looked_through_again(tmp_path, monkeypatch):
    raw = {"alpha": {"choice": [0.1, 0.5]}}
    ledger = open_ledger(tmp_path, raw, arms=arms_for(raw, {HIDDEN: 24}))
    for _ in range(5):
        ledger.ask()
    assert ledger.ask() is None
    monkeypatch.setattr(ledger_module, "_known_keys", None)
    assert ledger.ask() is None
    assert not [trial for trial in ledger.study.trials if trial.state.name == "FAIL"]


def test_the_fixed_setting_is_not_trained_again_as_a_sample(tmp_path, logged):
    space = parse_space({"alpha": {"choice": [1, 2, 3]}}, "x")
    arms = [Arm(HIDDEN, space, {}, 24, fixed={"alpha": 2.0})]
    ledger = open_ledger(tmp_path, {"alpha": {"choice": [1, 2, 3]}}, arms=arms)
    run_all(ledger)
    assert sorted(row.settings.get("alpha", 2) for row in ledger.rows()) == [1, 2, 3]
    assert arms[0].trials == 3
    assert logged == ["hidden: its space holds 3 settings, all of them tried; 2 of 24 samples ran"]


def test_an_arm_repeats_no_trial_of_another(tmp_path):
    """The learning rates of `plain` are no results of `hidden`."""
    raw = {"recipe.lr": {"choice": [1e-3, 3e-3]}, "beta": {"choice": [1.0]}}
    run_all(ledger := open_ledger(tmp_path, raw, "random", arms=arms_for(raw, {PLAIN: 2, LOGITS: 2, HIDDEN: 2})))
    assert Counter(row.arm for row in ledger.rows()) == {PLAIN: 3, LOGITS: 3, HIDDEN: 3}


def test_an_arm_that_is_exhausted_is_so_after_a_restart(tmp_path):
    raw = {"alpha": {"choice": [0.1, 0.5]}, "beta": {"log_uniform": [0.1, 100]}}
    arms = arms_for(raw, {LOGITS: 6, HIDDEN: 6})
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    expected = run_all(open_ledger(tmp_path / "whole", raw, "random", arms=arms))
    assert len(expected) == 3 + 2 + 6
    restarted = []
    while (proposal := (ledger := open_ledger(tmp_path / "cut", raw, "random", arms=arms)).ask()) is not None:
        restarted.append(proposal.values)
        end(ledger, proposal, sum_of_weights(proposal.values))
    assert restarted == expected
    assert len(ledger.study.trials) == len(expected)
    assert not ledger.remaining


def test_settings_that_train_the_same_student_are_one_trial(tmp_path):
    ledger = open_ledger(tmp_path, {"beta": {"choice": [0, 1]}, "rank": {"choice": [16, 32]}}, "random", samples=50)
    values = run_all(ledger)[3:]
    assert sum(v["beta"] == 0 for v in values) == 1
    assert len(values) == 3


def test_a_repetition_of_a_running_trial_is_drawn_again(tmp_path):
    ledger = open_ledger(tmp_path, {"alpha": {"choice": [0.1, 0.5]}}, "random", samples=2)
    proposals = [ledger.ask() for _ in range(5)]
    assert {p.values["alpha"] for p in proposals[3:]} == {0.1, 0.5}
    assert ledger.ask() is None
    assert len(ledger.running) == 5
