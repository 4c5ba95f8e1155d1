"""Search spaces: what they propose, in which order conditions hold, and what they refuse."""

from __future__ import annotations

import optuna
import pytest

from palenka_tune.errors import UserError
from palenka_tune.spaces.space import parse_space

CONDITIONAL = {
    "center": {"choice": [True, False], "when": {"projection.rank": None}},
    "rank": {"choice": [16, None]},
    "beta": {"log_uniform": [0.1, 100]},
    "layer_map": {"choice": ["uniform", {4: 4}]},
    "recipe.warmup_steps": {"int": [1, 5]},
}


def propose(space, count: int):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(count):
        trial = study.ask()
        yield space.suggest(trial), trial


def test_proposals_lie_in_the_space_and_conditions_hold():
    space = parse_space(CONDITIONAL, "x.yaml")
    seen = set()
    for values, trial in propose(space, 60):
        assert 0.1 <= values["beta"] <= 100
        assert values["recipe.warmup_steps"] in range(1, 6)
        assert ("projection.center" in values) == (values["projection.rank"] is None)
        assert set(trial.params) == set(values)
        seen.add(str(values["projection.layer_map"]))
    assert seen == {"uniform", "{4: 4}"}


def test_a_space_as_a_dict_is_read_as_the_same_space():
    several = {"choice": [1, 2], "when": {"projection.rank": [16, None]}}
    listed = {"choice": [1.0, 2.0], "when": {"projection.layer_map": [[{4: 4}]]}}  # the list is the value
    whole = {"projection.layer_map": {"choice": ["last", [{4: 4}]]}, "ce_weight": listed}
    space = parse_space({**CONDITIONAL, "layer_map": {"choice": ["uniform"]}, "temperature": several}, "x.yaml")
    assert space.to_dict()["projection.center"] == {"choice": [True, False], "when": {"projection.rank": None}}
    assert space.to_dict()["temperature"] == several
    assert list(space.to_dict())[:3] == ["projection.center", "projection.rank", "beta"]
    assert parse_space(whole, "x").to_dict() == whole
    for each in (space, parse_space(whole, "x")):
        assert parse_space(each.to_dict(), "x") == each


def test_multiples_are_a_range_around_the_fixed_value():
    written = {"recipe.lr": {"times": [0.5, 2]}, "warmup_steps": {"times": [0.1, 2]}, "beta": {"log_uniform": [1, 2]}}
    space = parse_space(written, "x").around({"recipe.lr": 4e-3, "recipe.warmup_steps": 20}, "x")
    for values, _ in propose(space, 60):
        assert 2e-3 <= values["recipe.lr"] <= 8e-3
        assert values["recipe.warmup_steps"] in range(2, 41)
    assert parse_space(space.to_dict(), "x") == parse_space(written, "x")
    other = space.around({"recipe.lr": 1.0}, "x")
    assert other == space  # a range is around one value for good


@pytest.mark.parametrize("fixed", [{}, {"recipe.weight_decay": 0.0}])
def test_nothing_has_no_multiples(fixed):
    space = parse_space({"weight_decay": {"times": [0.5, 2]}}, "x")
    with pytest.raises(UserError, match=r"range of multiples of recipe\.weight_decay, which is"):
        space.around(fixed, "x")


def test_corners_are_every_choice_and_both_ends_without_repetition():
    corners = list(parse_space({k: CONDITIONAL[k] for k in ("center", "rank", "beta")}, "x").corners())
    assert len(corners) == 2 * 3  # two ends; rank 16, or null with and without centring
    assert {corner["beta"] for corner in corners} == {0.1, 100}


BAD_SPACES: list = [
    ({"bta": {"choice": [1]}}, "unknown setting 'bta' (did you mean 'beta'?)"),
    ({"recipe.batch_size": {"choice": [8, 16]}}, "parameters: recipe.batch_size cannot be searched, since trials"),
    ({"epochs": {"int": [1, 4]}}, "recipe.epochs cannot be searched"),
    ({"beta": {"log_uniform": [10, 1]}}, "beta.log_uniform is [10, 1], which is turned around; write [1, 10]"),
    ({"beta": {"log_uniform": [0, 1]}}, "a logarithmic range starts above 0"),
    ({"beta": {"times": [0, 1]}}, "a logarithmic range starts above 0"),
    ({"beta": {"uniform": [0, float("inf")]}}, "give two numbers"),
    ({"beta": {"uniform": [1]}}, "give two numbers"),
    ({"projection.rank": {"int": [1.5, 3]}}, "give two whole numbers"),
    ({"beta": 3}, "put a fixed value under distill"),
    ({"beta": {"choise": [1]}}, "unknown key 'choise' of beta (did you mean 'choice'?)"),
    ({"beta": {"choice": []}}, "give a list"),
    ({"beta": {"choice": [1, 1]}}, "a value twice"),
    ({"beta": {"choice": [1], "uniform": [0, 1]}}, "exactly one of"),
    ({"beta": {"choice": [1]}, "distill.beta": {"choice": [2]}}, "unknown setting 'distill.beta'"),
    ({"rank": {"choice": [1]}, "projection.rank": {"choice": [2]}}, "stands twice"),
    ({"center": {"choice": [True], "when": {"rank": None}}}, "depends on projection.rank, which is not searched"),
    ({"center": {"choice": [True], "when": {"rank": 9}}, "rank": {"choice": [8]}}, "not among its choices"),
    (
        {"center": {"choice": [True], "when": {"rank": 8}}, "rank": {"choice": [8], "when": {"center": True}}},
        "form a circle",
    ),
    ({"rank": {"log_uniform": [8, 64]}}, "projection.rank is a whole number; write {int: [low, high]}"),
    ([1], "give a mapping"),
]


@pytest.mark.parametrize(("raw", "message"), BAD_SPACES)
def test_what_cannot_be_searched(raw, message):
    with pytest.raises(UserError) as error:
        parse_space(raw, "x.yaml")
    assert str(error.value).startswith("x.yaml")
    assert message in str(error.value)
