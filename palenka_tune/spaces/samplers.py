"""Optuna's samplers by name, made anew for each trial from (seed, number of the trial in its arm).

A sampler that starts from the same seed at each trial depends on the ledger alone, so a resumed search proposes what an
uninterrupted one would have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from palenka_tune.errors import UserError, nearest
from palenka_tune.spaces.space import Space


def _tpe(space: Space, seed: int, samples: int) -> BaseSampler:
    """Multivariate, grouped TPE, for conditional spaces."""
    return optuna.samplers.TPESampler(
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=startup_points("tpe", samples),
        seed=seed,
    )


def _grid(space: Space, seed: int, samples: int) -> BaseSampler:
    # the order of a grid must be the same at each trial: GridSampler shuffles by its seed
    return optuna.samplers.GridSampler(space.grid("sampler grid"), seed=0)


SAMPLERS: dict[str, Callable[[Space, int, int], BaseSampler]] = {
    "tpe": _tpe,
    "grid": _grid,
    "random": lambda space, seed, samples: optuna.samplers.RandomSampler(seed=seed),
    "cmaes": lambda space, seed, samples: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "gp": lambda space, seed, samples: optuna.samplers.GPSampler(
        seed=seed, n_startup_trials=startup_points("gp", samples), warn_independent_sampling=False
    ),
}


def startup_points(name: str, samples: int) -> int:
    """How many of the samples are start-up points before `name` proposes by what it has seen: a third, from 4 to 10."""
    return 0 if name == "grid" else min(samples, max(4, min(10, samples // 3)))


def startup_point(space: Space, *, seed: int, number: int) -> dict[str, Any]:
    """The start-up point `number` of a search: each parameter's value as Optuna keeps it.

    The points are a scrambled Sobol sequence (Owen 1998): each is random, and together they are spread out. Of the
    first four every setting has one value in each quarter of its range, where four independent ones often crowd.
    """
    from scipy.stats import qmc  # type: ignore[import-untyped]

    if not space.parameters:
        return {}
    sequence = qmc.Sobol(len(space.parameters), rng=seed)
    if number:
        sequence.fast_forward(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one point alone is not balanced; the sequence is
        (shares,) = sequence.random(1).tolist()
    return {each.name: each.at(share) for each, share in zip(space.parameters, shares, strict=True)}


def check_sampler(name: str) -> None:
    """Refuse a sampler that does not exist."""
    if name not in SAMPLERS:
        raise UserError(f"there is no sampler '{name}'{nearest(name, SAMPLERS)}")


def sampler_for(name: str, space: Space, *, seed: int, number: int, samples: int) -> BaseSampler:
    """The sampler of trial `number` of an arm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](space, (seed * 100_003 + number) % 2**32, samples)
