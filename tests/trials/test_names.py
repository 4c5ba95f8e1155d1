"""Names of runs."""

from __future__ import annotations

import pytest

from palenka_tune.spaces.resolve import resolve, shipped_spaces
from palenka_tune.trials.arms import ARMS, FIXED, PROPOSED, STARTUP, arms_of
from palenka_tune.trials.names import LONGEST_NAME, run_name, settings_name, short_name


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (
            {
                "projection.normalize": "layer_norm",
                "temperature": 2,
                "projection.rank": 64,
                "beta": 3.0,
                "alpha": 1.2,
            },
            "α=1.2 β=3 τ=2 layer_norm r=64",
        ),
        ({"beta": 12.3456, "projection.rank": None, "projection.kind": "mlp"}, "β=12.3 r=full mlp"),
        ({"projection.normalize": "none", "projection.center": False}, "normalize=none not centred"),
        ({"projection.center": True, "beta_schedule": "cosine_decay"}, "centred β(t)=cosine_decay"),
        ({"recipe.lr": 0.003, "projection.layer_map": {"0": 1}}, 'lr=0.003 layers={"0": 1}'),
        # what means nothing is left out
        ({"alpha": 0.0, "beta": 0.0, "temperature": 2, "projection.rank": 8}, ""),
        ({"alpha": 0.0, "beta": 0.0, "recipe.lr": 0.003, "temperature": 2}, "lr=0.003"),
        ({"alpha": 1.5, "beta": 0.0, "projection.rank": 8}, "α=1.5"),
    ],
)
def test_settings_in_a_line(values, name):
    assert short_name(values) == name


def test_an_explicit_layer_map_is_cut():
    name = short_name({"projection.layer_map": {str(n): n for n in range(30)}})
    assert name.endswith("…")
    assert len(name) < 60


@pytest.mark.parametrize("space", [path.stem for path in shipped_spaces()])
def test_trials_of_an_arm_that_differ_have_names_that_differ(space):
    for arm in arms_of(resolve(space)):
        corners = [{**values, **arm.constants} for values in arm.space.corners(limit=500)]
        alike = {tuple(sorted((name, str(value)) for name, value in corner.items())) for corner in corners}
        assert len({settings_name(arm.name, PROPOSED, corner) for corner in corners}) == len(alike)


@pytest.mark.parametrize("arm", ARMS)
def test_the_name_of_a_trial_begins_with_its_arm(arm):
    assert settings_name(arm, FIXED, {"alpha": 0.0, "beta": 0.0}) == f"{arm}: fixed setting"
    for origin in (STARTUP, PROPOSED):
        assert settings_name(arm, origin, {"alpha": 2.0}) == f"{arm}: α=2"


def test_the_name_of_a_run_begins_with_what_tells_it_from_others():
    assert run_name("trial-0004", "hidden: α=2") == "trial-0004, hidden: α=2"
    assert run_name("trial-0004", "hidden: α=2", mark="led the trials") == "trial-0004 (led the trials), hidden: α=2"
    assert run_name("trial-0004", "hidden: α=2", seed=1) == "trial-0004 s1, hidden: α=2"
    long = "all data " * 40
    names = {run_name(trial, long, seed=seed, mark=mark) for trial in "ab" for seed in (1, 2) for mark in ("", "best")}
    assert len(names) == 8
    assert all(len(name) == LONGEST_NAME for name in names)
    assert len({name[:16] for name in names}) == 8
