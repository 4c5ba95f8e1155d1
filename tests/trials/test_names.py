"""Names of runs."""

from __future__ import annotations

import pytest

from palenka_tune.spaces.resolve import resolve, shipped_spaces
from palenka_tune.trials.arms import ANCHORS
from palenka_tune.trials.names import settings_name, short_name, student_name


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
        ({"alpha": 0.0, "beta": 0.0, "temperature": 2, "projection.rank": 8}, "α=0 β=0"),
    ],
)
def test_settings_in_a_line(values, name):
    assert short_name(values) == name


def test_an_explicit_layer_map_is_cut():
    name = short_name({"projection.layer_map": {str(n): n for n in range(30)}})
    assert name.endswith("…")
    assert len(name) < 60


@pytest.mark.parametrize("space", [path.stem for path in shipped_spaces()])
def test_trials_that_differ_have_names_that_differ(space):
    corners = list(resolve(space).space.corners(limit=500))
    alike = {tuple(sorted((name, str(value)) for name, value in corner.items())) for corner in corners}
    assert len({short_name(corner) for corner in corners}) == len(alike)


@pytest.mark.parametrize("anchor", ANCHORS)
def test_every_anchor_has_a_name(anchor):
    name = settings_name(anchor, {"alpha": 0.0, "beta": 0.0})
    assert name == {"no_distillation": "anchor: no distillation", "vanilla_kd": "anchor: vanilla KD"}[anchor]
    assert student_name("anchor", anchor, {}, 2) == f"all data, seed 2: {name}"


def test_an_ablation_says_what_it_lacks():
    assert student_name("ablation", "x", {"alpha": 1.0, "beta": 0.0}, 1) == (
        "all data, seed 1: α=1 β=0 (without hidden states)"
    )
