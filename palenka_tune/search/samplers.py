"""Optuna's samplers by name, made anew for each trial from (seed, trial number).

A sampler that starts from the same seed at each trial depends on the ledger alone, so a resumed search proposes what an
uninterrupted one would have. The anchors are hidden from the samplers: they lie outside the space.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from palenka_tune.errors import UserError, nearest
from palenka_tune.search.space import Space

ANCHOR = "anchor"


def _tpe(space: Space, seed: int, samples: int) -> BaseSampler:
    """Multivariate, grouped TPE, for conditional spaces; a third of the samples (4 to 10) are drawn at random first."""
    return optuna.samplers.TPESampler(
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=max(4, min(10, samples // 3)),
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
        seed=seed, n_startup_trials=max(4, min(10, samples // 3)), warn_independent_sampling=False
    ),
}


def check_sampler(name: str) -> None:
    """Refuse a sampler that does not exist."""
    if name not in SAMPLERS:
        raise UserError(f"there is no sampler '{name}'{nearest(name, SAMPLERS)}")


def sampler_for(name: str, space: Space, *, seed: int, number: int, samples: int) -> BaseSampler:
    """The sampler of trial `number`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return AnchorBlindSampler(SAMPLERS[name](space, (seed * 100_003 + number) % 2**32, samples))


class _WithoutAnchors:
    """A study as its sampler should see it: no anchors, and no `stop`, which only `optimize` may call."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[optuna.trial.FrozenTrial]:
        return [t for t in self._study._get_trials(*args, **kwargs) if ANCHOR not in t.user_attrs]

    def get_trials(self, *args: Any, **kwargs: Any) -> list[optuna.trial.FrozenTrial]:
        return [t for t in self._study.get_trials(*args, **kwargs) if ANCHOR not in t.user_attrs]

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.get_trials()

    def stop(self) -> None:
        """A grid that is complete would stop `optimize`; here the number of samples ends the search."""


class AnchorBlindSampler(BaseSampler):
    """Delegates to a sampler, with the anchors removed from the study it sees."""

    def __init__(self, inner: BaseSampler) -> None:
        self._inner = inner

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return self._inner.infer_relative_search_space(_WithoutAnchors(study), trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return self._inner.sample_relative(_WithoutAnchors(study), trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        seen: Any = _WithoutAnchors(study)
        return self._inner.sample_independent(seen, trial, param_name, param_distribution)

    def before_trial(self, study: Any, trial: Any) -> None:
        self._inner.before_trial(_WithoutAnchors(study), trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        self._inner.after_trial(_WithoutAnchors(study), trial, state, values)

    def reseed_rng(self) -> None:
        self._inner.reseed_rng()
