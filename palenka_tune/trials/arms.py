"""Arms: the three ways to train a student that a search compares, each tuned for itself.

    plain    no teachers: alpha = beta = 0
    logits   the teachers' logits alone: beta = 0
    hidden   logits and hidden states

A difference between two ways says something only if both are tuned alike. So each arm has its own proposals, its own
rungs and its share of the samples. Its first trial is the fixed setting; its start-up points are those of the other
arms as far as they have the same settings, so that a point of one arm has a twin in another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from palenka_tune.spaces.samplers import startup_points
from palenka_tune.spaces.settings import SearchConfig, grid_size
from palenka_tune.spaces.space import IDLE, Space, holds, settings_key

PLAIN, LOGITS, HIDDEN = "plain", "logits", "hidden"
ARMS = {PLAIN: "no distillation", LOGITS: "logits alone", HIDDEN: "logits and hidden states"}
"""The arms by name, in words."""
LEARNS_FROM = {PLAIN: "the text alone", LOGITS: "the teachers' logits too", HIDDEN: "their hidden states as well"}

# attributes of an Optuna trial: its arm, and where its settings come from
ARM, ORIGIN = "arm", "origin"
FIXED, STARTUP, PROPOSED = "fixed", "startup", "proposed"
UNSELECTED = (FIXED, STARTUP)
"""Trials that nobody chose by a result: they are never stopped, and say what early looks are worth."""

# settings that are counted before a space is said to hold enough of them for any number of samples
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Arm:
    """An arm of a search: its part of the space, the values that make it this arm, and how many `samples` it gets.

    `has_fixed` says whether its first trial is the fixed setting, with nothing searched, besides the samples; `fixed`
    are the values that the searched settings have in it.
    """

    name: str
    space: Space
    constants: Mapping[str, float]
    samples: int
    has_fixed: bool = True
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fixed_keys(self) -> set[str]:
        """The key of its fixed setting (`spaces.space.settings_key`), which no sample has to repeat."""
        return {settings_key({**self.fixed, **self.constants})} if self.has_fixed else set()

    @cached_property
    def trials(self) -> int:
        """How many trials it has: its samples, or what its space holds where that is less, and the fixed setting."""
        fixed = self.fixed_keys
        new = (point for point in self.space.points(self.constants) if settings_key(point) not in fixed)
        most = min(self.samples, MOST_COUNTED)
        held = sum(1 for _ in itertools.islice(new, most))
        return (held if held < most else self.samples) + self.has_fixed


def arms_of(config: SearchConfig) -> list[Arm]:
    """The arms of a search, in the order in which they are compared.

    Without teachers there is `plain` alone. An arm that no searched setting shapes trains its fixed setting only, and
    so does one without a share (`search.arms`). A grid is searched as it is written, by the last arm. The fixed
    setting is not of an arm whose weight is searched, and 0 in it.
    """
    fixed, search = config.experiment.distill, config.search
    searched = {parameter.name for parameter in config.space.parameters}
    constants: dict[str, dict[str, float]] = {PLAIN: {"alpha": 0.0, "beta": 0.0}}
    if config.experiment.teachers:
        # logits without a weight would be `plain`
        weight = {} if fixed.alpha or "alpha" in searched else {"alpha": 1.0}
        constants[LOGITS] = {**weight, "beta": 0.0}
        if fixed.beta or "beta" in searched:
            constants[HIDDEN] = {}
    grid = search.sampler == "grid"
    spaces = {name: _space_of(config.space, values) for name, values in constants.items()}
    shares = {[*constants][-1]: 1.0} if grid else search.arms
    counts = shared_out(search.samples, {name: shares.get(name, 0.0) for name in constants if spaces[name].parameters})
    if grid:
        counts = {name: min(count, grid_size(spaces[name])) for name, count in counts.items()}
    weights = {"alpha": fixed.alpha, "beta": fixed.beta}
    return [
        Arm(
            name,
            spaces[name],
            values,
            counts.get(name, 0),
            has_fixed=not (grid and counts.get(name)) and arm_of(**{**weights, **values}) == name,
            fixed=_fixed(config, spaces[name], values),
        )
        for name, values in constants.items()
    ]


def trials_of(arms: Iterable[Arm]) -> int:
    """How many trials a search has in all."""
    return sum(arm.trials for arm in arms)


def never_paused(arms: Iterable[Arm], sampler: str) -> int:
    """How many of these trials are fixed settings and start-up points, which are trained to their ends."""
    return sum(min(arm.trials, arm.has_fixed + startup_points(sampler, arm.samples)) for arm in arms)


def shared_out(samples: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`samples` divided in proportion to `shares`; what is left over goes to the largest remainders."""
    whole = sum(shares.values())
    if not whole:
        return dict.fromkeys(shares, 0)
    exact = {name: samples * share / whole for name, share in shares.items()}
    counts = {name: int(count) for name, count in exact.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: samples - sum(counts.values())]:
        counts[name] += 1
    return counts


def arm_of(alpha: float, beta: float) -> str:
    """The arm to which a loss with these weights belongs."""
    return HIDDEN if beta else LOGITS if alpha else PLAIN


def _fixed(config: SearchConfig, space: Space, constants: Mapping[str, float]) -> dict[str, Any]:
    """The values of the searched settings of `space` in the fixed setting beside these constants."""
    known = config.settings_of(constants)
    values: dict[str, Any] = {}
    for parameter in space.parameters:
        if holds(parameter, values):
            values[parameter.name] = known.value(parameter.name)
    return values


def _space_of(space: Space, constants: Mapping[str, float]) -> Space:
    """What is searched beside an arm's constants: no fixed weight, and no setting of a term without a weight."""
    off = {name for name, value in constants.items() if not value}
    idle = (*constants, *(name for weight in off for name in IDLE[weight]), *(("ce_weight",) if len(off) == 2 else ()))
    return space.without(idle)
