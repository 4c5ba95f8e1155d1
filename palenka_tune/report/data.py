"""What a report is made from: a run as plain data.

Cross-entropies are in nats per token, accuracies and shares from 0 to 1, times in seconds. What is not known is None or
empty, and the report says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from palenka_tune.trials.rows import STATES, TrialRow, best_of_arms

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # numbers of components of which a layer's share is shown


@dataclass(frozen=True)
class Setting:
    """A setting that was searched: `kind` is choice (with its `choices`), uniform, log_uniform or int (`low`, `high`);
    a `conditional` one exists in some trials only."""

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    conditional: bool = False

    @property
    def short(self) -> str:
        """The name as charts have room for it."""
        return self.name.removeprefix("projection.").removeprefix("student.")


@dataclass(frozen=True)
class Paradigm:
    """A set of minimal pairs: a model's accuracy on it and the standard error of that."""

    name: str
    term: str | None
    accuracy: float
    stderr: float | None


@dataclass(frozen=True)
class SuiteScore:
    """A model on a suite."""

    accuracy: float
    stderr: float | None
    paradigms: tuple[Paradigm, ...] = ()


@dataclass(frozen=True)
class Model:
    """A model that was scored: `seeds` says over how many students the scores are means."""

    name: str
    role: str
    val_ce: float | None
    suites: Mapping[str, SuiteScore]
    parameters: int | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Contrast:
    """An arm minus another in one measure (`hidden − logits`): the mean over paired seeds, its 95 % interval, each
    seed's."""

    name: str
    measure: str
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Finalists:
    """The verdict in words, the table behind it, and the contrasts by measure (cross-entropy, then accuracies).

    `winner` is the trial that won with fresh seeds, `margin` that of equivalence in nats per token, `fresh` {trial: the
    val_ce of each of its fresh seeds}.
    """

    verdict: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    contrasts: tuple[Contrast, ...]
    winner: str | None = None
    margin: float | None = None
    fresh: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """A teacher's hidden state: the share of its variance in its leading components, {components: share}."""

    teacher: str
    state: int
    explained: Mapping[int, float]


@dataclass(frozen=True)
class RunData:
    """A search as far as it has come.

    `state` is in words (`finished`, `killed while searching`); `asked` are sentences on what was searched, `facts`
    (name, value) on how it ran and what it was made of, `warnings` what needs attention, `ahead` the command that
    resumes it. `spreads` is {trial: the last spread of its projected targets}. `comparable` are the things that two
    runs must share for their `val/ce` to be compared.
    """

    name: str
    state: str
    objective: str = "val_ce"
    settings: tuple[Setting, ...] = ()
    trials: tuple[TrialRow, ...] = ()
    spreads: Mapping[str, float] = field(default_factory=dict)
    total_steps: int | None = None
    seconds: float | None = None
    asked: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    ahead: str | None = None
    models: tuple[Model, ...] = ()
    finalists: Finalists | None = None
    seeds_asked: int = 0
    costs: tuple[tuple[str, str, str], ...] = ()
    headroom: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    cache: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    configuration: str = ""
    comparable: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.state == "finished"

    def complete(self) -> list[TrialRow]:
        """The trials that were trained to the end, the lowest val/ce first."""
        complete = [trial for trial in self.trials if trial.is_complete]
        return sorted(complete, key=lambda trial: (trial.ce, trial.trial_id))

    def best(self) -> TrialRow | None:
        """The trial with the lowest val/ce of those that were trained to the end."""
        return next(iter(self.complete()), None)

    def winner(self) -> TrialRow | None:
        """The trial that won with fresh seeds; without these the best one."""
        won = self.finalists.winner if self.finalists else None
        return next((trial for trial in self.trials if trial.trial_id == won), None) or self.best()

    def best_so_far(self) -> list[float]:
        """For each trial the lowest val/ce of those that were trained to the end until then, or infinity."""
        values = (trial.ce if trial.is_complete else math.inf for trial in self.trials)
        return list(accumulate(values, min))

    def ended(self) -> list[TrialRow]:
        """All trials that run no more: complete, stopped early or failed."""
        return [trial for trial in self.trials if trial.state in STATES]

    def arms(self) -> dict[str, TrialRow]:
        """The best trial of each arm of those that were trained to the end."""
        return best_of_arms(self.complete())


def key(value: Any) -> str:
    """What choices are told apart by."""
    return json.dumps(value, sort_keys=True, default=str)


def suites_of(models: Sequence[Model]) -> list[str]:
    """The suites that any of the models was scored on, in order."""
    return list(dict.fromkeys(suite for model in models for suite in model.suites))
