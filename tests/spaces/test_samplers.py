"""Start-up points: each is random, and together they are spread over every setting."""

from __future__ import annotations

import math

import optuna
import pytest

from palenka_tune.spaces.samplers import startup_point
from palenka_tune.spaces.space import parse_space

SPACE = parse_space(
    {
        "recipe.lr": {"log_uniform": [1e-3, 9e-3]},
        "recipe.weight_decay": {"uniform": [0.0, 0.4]},
        "recipe.warmup_steps": {"int": [0, 7]},
        "alpha": {"log_uniform": [0.3, 100]},
        "temperature": {"choice": [1, 2]},
        "projection.rank": {"choice": [16, 32, 64, None]},
    },
    "test",
)


def share(parameter, value) -> float:
    """Where in its range a value lies."""
    if parameter.kind == "choice":
        return (parameter.labels.index(value) + 0.5) / len(parameter.choices)
    if parameter.kind == "int":
        return (value - parameter.low + 0.5) / (parameter.high - parameter.low + 1)
    if parameter.kind == "uniform":
        return (value - parameter.low) / (parameter.high - parameter.low)
    return math.log(value / parameter.low) / math.log(parameter.high / parameter.low)


@pytest.mark.parametrize("seed", range(5))
def test_four_points_have_one_value_in_each_quarter_of_every_setting(seed):
    points = [startup_point(SPACE, seed=seed, number=number) for number in range(4)]
    for parameter in SPACE.parameters:
        quarters = sorted(int(4 * share(parameter, point[parameter.name])) for point in points)
        assert quarters == ([1, 1, 3, 3] if parameter.name == "temperature" else [0, 1, 2, 3])
    assert points == [startup_point(SPACE, seed=seed, number=number) for number in range(4)]  # a resumed search's


def test_every_value_is_one_that_optuna_takes_and_seeds_differ():
    seen = set()
    for seed in range(20):
        for number in range(10):
            point = startup_point(SPACE, seed=seed, number=number)
            study = optuna.create_study()
            study.enqueue_trial(point)
            trial = study.ask()
            SPACE.suggest(trial)
            assert trial.params == point
            seen.add(point["alpha"])
    assert len(seen) == 200
    assert startup_point(parse_space({}, "test"), seed=0, number=3) == {}


def test_a_point_by_itself_is_uniform():
    """Over many seeds the first point falls in every tenth of a range about equally often."""
    (alpha,) = [each for each in SPACE.parameters if each.name == "alpha"]
    tenths = [0] * 10
    for seed in range(1000):
        tenths[int(10 * share(alpha, startup_point(SPACE, seed=seed, number=0)["alpha"]))] += 1
    assert all(60 < count < 145 for count in tenths)
