"""Arms: which a search has, what each searches, and how the samples are shared out."""

from __future__ import annotations

import random

import pytest

from palenka_tune.errors import UserError
from palenka_tune.spaces.resolve import resolve, shipped_spaces
from palenka_tune.spaces.space import IDLE
from palenka_tune.trials.arms import ARMS, HIDDEN, LOGITS, PLAIN, arm_of, arms_of, shared_out, trials_of

ALPHA, BETA = {"log_uniform": [0.3, 10]}, {"log_uniform": [0.3, 100]}
RATE = {"recipe.lr": {"times": [0.33, 3]}}


def arms(parameters=None, **more):
    """The arms of a search, by name: of the space `dskd`, or of one with these parameters."""
    if parameters is None:
        return {arm.name: arm for arm in arms_of(resolve("dskd", assignments=[*more.items()]))}
    tree = {"parameters": parameters, "search": {"samples": 10, "rungs": []}}
    for path, value in more.items():
        section, _, name = path.partition("__")
        if name:
            tree.setdefault(section, {})[name] = value
        else:
            tree[section] = value
    return {arm.name: arm for arm in arms_of(resolve(tree))}


def names(arm):
    return [parameter.name for parameter in arm.space.parameters]


def test_a_search_has_three_arms_in_the_order_in_which_they_are_compared():
    found = arms()
    assert list(found) == list(ARMS) == [PLAIN, LOGITS, HIDDEN]
    assert [arm.samples for arm in found.values()] == [2, 4, 4]
    assert all(arm.has_fixed for arm in found.values())
    assert trials_of(found.values()) == 10 + 3


def test_a_parameter_belongs_to_the_arms_in_which_it_means_something():
    found = arms()
    recipe = ["recipe.lr", "recipe.weight_decay"]
    assert names(found[PLAIN]) == recipe
    assert names(found[LOGITS]) == [*recipe, "alpha", "temperature", "alpha_schedule"]
    assert set(names(found[HIDDEN])) == {parameter.name for parameter in resolve("dskd").space.parameters}
    assert set(names(found[HIDDEN])) - set(names(found[LOGITS])) >= {"beta", "beta_until", "projection.rank"}


@pytest.mark.parametrize("space", [path.stem for path in shipped_spaces()])
def test_the_weights_of_an_arm_make_it_that_arm(space):
    config = resolve(space)
    for arm in arms_of(config):
        for values in [{}] * arm.has_fixed + list(arm.space.corners(limit=300)) * bool(arm.samples):
            distill = config.settings_of({**values, **arm.constants}).distill
            assert arm_of(distill.alpha, distill.beta) == arm.name or (arm.name == HIDDEN and values.get("beta") == 0)
        off = [name for name in ("alpha", "beta") if arm.constants.get(name) == 0]
        assert not [name for name in names(arm) for weight in off if name.startswith(IDLE[weight])]
        assert not set(names(arm)) & set(arm.constants)


def test_without_teachers_there_is_plain_alone():
    found = arms(RATE, teachers=[], distill={"alpha": 0, "beta": 0})
    assert list(found) == [PLAIN]
    assert found[PLAIN].samples == 10


def test_without_hidden_states_there_are_two_arms():
    assert list(arms({"alpha": ALPHA}, distill__beta=0)) == [PLAIN, LOGITS]
    assert list(arms({"alpha": ALPHA, "beta": BETA}, distill__beta=0)) == [PLAIN, LOGITS, HIDDEN]
    assert list(arms({"alpha": ALPHA})) == [PLAIN, LOGITS, HIDDEN]


def test_logits_without_a_weight_get_one():
    found = arms({"beta": BETA}, distill__alpha=0)
    assert found[LOGITS].constants == {"alpha": 1.0, "beta": 0.0}
    assert found[HIDDEN].constants == {}
    assert arms({"beta": BETA})[LOGITS].constants == {"beta": 0.0}


def test_the_fixed_setting_is_not_of_an_arm_whose_weight_is_0_in_it():
    """Otherwise a student without teachers would stand for `logits`, or one of `logits` for `hidden`."""
    found = arms({"alpha": ALPHA, "beta": BETA}, distill={"alpha": 0, "beta": 0})
    assert {name: arm.has_fixed for name, arm in found.items()} == {PLAIN: True, LOGITS: False, HIDDEN: False}
    assert trials_of(found.values()) == 10 + 1


def test_an_arm_that_no_setting_shapes_trains_its_fixed_setting_only():
    found = arms({"beta": BETA})
    assert {name: (arm.samples, arm.has_fixed) for name, arm in found.items()} == {
        PLAIN: (0, True),
        LOGITS: (0, True),
        HIDDEN: (10, True),
    }


@pytest.mark.parametrize(("rank", "new"), [(32, 2), (64, 3), (None, 2)])
def test_an_arm_has_no_more_trials_than_its_space_holds_settings(rank, new):
    space = {"projection.rank": {"choice": [16, 32, None]}}
    found = arms(space, distill={"alpha": 1, "beta": 1, "projection": {"rank": rank}})[HIDDEN]
    assert found.fixed == {"projection.rank": rank}
    assert (found.samples, found.trials) == (10, new + 1)
    assert arms({**space, "beta": BETA})[HIDDEN].trials == 11


def test_the_fixed_setting_has_no_value_of_a_setting_whose_condition_does_not_hold():
    space = {"projection.rank": {"choice": [16, 32]}, "ce_weight": {"choice": [1, 2], "when": {"projection.rank": 16}}}
    assert arms(space, distill={"projection": {"rank": 32}})[HIDDEN].fixed == {"projection.rank": 32}


def test_an_arm_without_a_share_trains_its_fixed_setting_only():
    found = arms({**RATE, "alpha": ALPHA}, search={"samples": 9, "arms": {"plain": 1, "hidden": 2}})
    assert [arm.samples for arm in found.values()] == [3, 0, 6]
    assert all(arm.has_fixed for arm in found.values())
    none = arms(RATE, search={"samples": 9, "arms": {}})
    assert trials_of(none.values()) == 3


def test_a_share_of_an_unknown_arm_is_refused():
    with pytest.raises(UserError, match=r"search\.arms has 'hiden' \(did you mean 'hidden'"):
        arms(RATE, search={"arms": {"hiden": 1}})
    with pytest.raises(UserError, match=r"search\.arms\.plain"):
        arms(RATE, search={"arms": {"plain": -1}})


@pytest.mark.parametrize(("samples", "expected"), [(4, 4), (100, 6)])
def test_a_grid_is_searched_as_it_is_written_by_the_last_arm(samples, expected):
    space = {"alpha": {"choice": [0.1, 0.5, 1]}, "beta": {"choice": [1, 2]}}
    found = arms(space, search={"samples": samples, "sampler": "grid", "rungs": []})
    assert {name: (arm.samples, arm.has_fixed) for name, arm in found.items()} == {
        PLAIN: (0, True),
        LOGITS: (0, True),
        HIDDEN: (expected, False),
    }


def test_a_grid_of_logits_is_of_logits():
    found = arms({"alpha": {"choice": [0.5, 1]}}, distill__beta=0, search={"samples": 9, "sampler": "grid"})
    assert {name: (arm.samples, arm.has_fixed) for name, arm in found.items()} == {
        PLAIN: (0, True),
        LOGITS: (2, False),
    }


def test_a_condition_on_what_an_arm_has_not_takes_its_setting_along():
    space = {
        "beta": BETA,
        "alpha": ALPHA,
        "recipe.weight_decay": {"log_uniform": [0.01, 1], "when": {"temperature": 2}},
        "temperature": {"choice": [1, 2], "when": {"projection.rank": 16}},
        "projection.rank": {"choice": [16, 32]},
    }
    found = arms(space)
    assert names(found[PLAIN]) == []
    assert names(found[LOGITS]) == ["alpha"]
    assert len(names(found[HIDDEN])) == 5


def test_an_arm_keeps_multiples_as_the_ranges_that_they_make():
    found = arms()
    lr = resolve("dskd").experiment.recipe.lr
    for arm in found.values():
        assert arm.space.parameters[0].name == "recipe.lr"
        assert arm.space.parameters[0].extremes() == pytest.approx((0.33 * lr, 3 * lr))


def test_samples_are_shared_out_in_proportion():
    assert shared_out(10, {"a": 1, "b": 2, "c": 2}) == {"a": 2, "b": 4, "c": 4}
    assert shared_out(11, {"a": 1, "b": 2, "c": 2}) == {"a": 2, "b": 5, "c": 4}
    assert shared_out(1, {"a": 1, "b": 2}) == {"a": 0, "b": 1}
    assert shared_out(7, {"a": 0, "b": 2}) == {"a": 0, "b": 7}
    assert shared_out(7, {"a": 0}) == {"a": 0}
    assert shared_out(7, {}) == {}
    generator = random.Random(0)
    for _ in range(200):
        shares = {name: generator.choice([0, 1, 2, 0.3, 7]) for name in "abc"}
        samples = generator.randrange(40)
        counts = shared_out(samples, shares)
        whole = sum(shares.values())
        assert sum(counts.values()) == (samples if whole else 0)
        assert all(abs(counts[name] - samples * shares[name] / (whole or 1)) < 1 for name in shares)
        assert all(not counts[name] for name in shares if not shares[name])


@pytest.mark.parametrize(("alpha", "beta", "name"), [(0, 0, PLAIN), (1, 0, LOGITS), (1, 3, HIDDEN), (0, 3, HIDDEN)])
def test_weights_say_which_arm_it_is(alpha, beta, name):
    assert arm_of(alpha, beta) == name
