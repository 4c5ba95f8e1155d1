"""What a search is: its settings, and the whole configuration that `resolve` makes of a YAML file and options."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_type_hints

from palenka_tune.config.build import build, flat, set_path
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.errors import UserError, nearest
from palenka_tune.limits import Limits, Strict, check_fields
from palenka_tune.spaces.experiment import ARCHITECTURE, Experiment, StudentSettings
from palenka_tune.spaces.samplers import check_sampler
from palenka_tune.spaces.space import Space

T = TypeVar("T")

Objective = Literal["val_ce", "val_total"]
ARM_NAMES = ("plain", "logits", "hidden")
SHARE, RUNG = Limits(ge=0, le=10**6), Limits(gt=0, lt=1, hint=", a fraction of the steps of a training")


def objective_name(spelling: str) -> str:
    """The objective that a file names: older ones have a slash in it, as MLflow's metrics do."""
    return spelling.replace("/", "_")


@dataclass(frozen=True)
class SearchSettings(Strict):
    """How a space is searched.

    `samples` trials are proposed by `sampler`, shared out over the `arms` (plain, logits, hidden) in these proportions,
    besides the fixed setting of each arm. A trial is the whole training. At `rungs`, fractions of its steps, the rule
    `stopping` compares the trials of an arm: `asha` pauses all but the best 1/`reduction`, `none` pauses none, nor does
    an empty list. At a rung `val_ce` is measured with averaged weights on the same `rung_windows` dev windows for all
    (null: all), at the end with the weights themselves on all of them. A trial whose `val_ce` exceeds
    `divergence_limit` times that of a uniform guess is failed.

    A trial keeps a checkpoint at rungs and every `checkpoint_minutes` between them: what a killed machine costs at
    most. One that fails is tried again from there `max_failures` times, and so is one that did not move for
    `stall_minutes` (more than a validation takes). If more than `abort_after` trials fail for the same reason before
    any came to its end, the search stops (null: never).

    The best trial of each arm is then trained again with `seeds` fresh seeds (0: not), for a verdict with intervals.
    Two arms are equivalent if the whole interval of their difference lies within `margin`, in nats per token.

    `objective` `val_total` chooses the winner of a grid as the poster did, by a sum that contains the searched weights;
    it is there to show what that does. Everything else goes by `val_ce`.
    """

    samples: Annotated[int, Limits(ge=1, le=10**6)] = 12
    sampler: str = "tpe"
    stopping: Literal["asha", "none"] = "asha"
    arms: dict[str, float] = field(default_factory=lambda: {"plain": 1.0, "logits": 2.0, "hidden": 2.0})
    rungs: list[float] = field(default_factory=lambda: [0.25, 0.5])
    reduction: Annotated[int, Limits(ge=2, le=100)] = 2
    rung_windows: Annotated[int, Limits(ge=1, hint=", or null for all")] | None = 256
    max_failures: Annotated[int, Limits(ge=0, le=1000)] = 1
    divergence_limit: Annotated[float, Limits(gt=1)] = 1.5
    checkpoint_minutes: Annotated[float, Limits(gt=0)] = 5.0
    stall_minutes: Annotated[float, Limits(gt=0)] = 20.0
    abort_after: Annotated[int, Limits(ge=1, hint=", or null for never")] | None = 3
    seeds: Annotated[int, Limits(ge=0, le=1000)] = 5
    margin: Annotated[float, Limits(gt=0)] = 0.01
    objective: Objective = "val_ce"

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        check_fields(self, "search.")
        for name, share in self.arms.items():
            if name not in ARM_NAMES:
                raise UserError(f"search.arms has '{name}'{nearest(name, ARM_NAMES)}; it has {', '.join(ARM_NAMES)}")
            SHARE.check(f"search.arms.{name}", share)
        for rung in self.rungs:
            RUNG.check("a rung of search.rungs", rung)
        if self.objective != "val_ce" and (self.sampler != "grid" or self.rungs):
            raise UserError(
                f"search.objective is {self.objective}, which searched weights rescale: no sampler or early stopping "
                "can go by it; use val_ce, or the grid sampler with search.rungs=[]"
            )


# the sections of a YAML file that are settings of one dataclass
SECTIONS: dict[str, Any] = {
    **{name: kind for name, kind in get_type_hints(Experiment).items() if dataclasses.is_dataclass(kind)},
    "search": SearchSettings,
}


class TrialSettings(NamedTuple):
    """What a trial is trained with, searched and fixed."""

    distill: DistillSettings
    recipe: Recipe
    student: StudentSettings

    def value(self, path: str) -> Any:
        """The setting of a dotted path, such as `projection.rank`, as plain data."""
        section, _, name = path.partition(".")
        found = dataclasses.asdict(getattr(self, section) if section in self._fields else self.distill)
        for part in (name if section in self._fields else path).split("."):
            found = found[part]
        return found

    def flat(self) -> dict[str, Any]:
        """Every setting by its dotted path, such as `projection.rank`, `recipe.lr` or `student.layers`."""
        given = {name: value for name in ARCHITECTURE if (value := getattr(self.student, name)) is not None}
        recipe = dataclasses.asdict(self.recipe)
        return flat({**dataclasses.asdict(self.distill), "recipe": recipe, **({"student": given} if given else {})})


@dataclass(frozen=True)
class SearchConfig:
    """A resolved search. `space_name` is the file's stem, or `space` without a file."""

    space_name: str
    description: str
    experiment: Experiment
    search: SearchSettings
    space: Space

    def settings_of(self, values: Mapping[str, Any]) -> TrialSettings:
        """The settings of a trial with these values of the searched ones."""
        fixed = {
            "distill": dataclasses.asdict(self.experiment.distill),
            "recipe": dataclasses.asdict(self.experiment.recipe),
            "student": dataclasses.asdict(self.experiment.student),
        }
        for name, value in values.items():
            set_path(fixed, name if name.startswith(("recipe.", "student.")) else f"distill.{name}", value)
        return TrialSettings(
            self._section(DistillSettings, fixed["distill"]),
            self._section(Recipe, fixed["recipe"]),
            self._section(StudentSettings, fixed["student"]),
        )

    def _section(self, kind: type[T], values: Mapping[str, Any]) -> T:
        """Settings of one kind, checked once: the trials of a search share most of theirs."""
        key = kind, json.dumps(values)
        if key not in self._sections:
            self._sections[key] = build(kind, values, self.space_name)
        section: T = self._sections[key]
        return section

    @functools.cached_property
    def _sections(self) -> dict[tuple[type, str], Any]:
        return {}

    @functools.cached_property
    def corners(self) -> list[TrialSettings]:
        """The settings of the corners of the space: each loss with each student, and each recipe, once. A large space
        has thousands of combinations of them, which say no more."""
        found: list[TrialSettings] = []
        seen: set[str] = set()
        for values in self.space.corners():
            parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
            for name, value in values.items():
                parts[name.startswith("recipe.")][name] = value
            keys = {f"{number} {json.dumps(part)}" for number, part in enumerate(parts)}
            if not keys <= seen:
                seen |= keys
                found.append(self.settings_of(values))
        return found

    def tree(self) -> dict[str, Any]:
        """The whole configuration as plain data, as `search.yaml` keeps it and a search can be started from again."""
        experiment = dataclasses.asdict(self.experiment)
        return {
            "description": self.description,
            **experiment,
            "search": dataclasses.asdict(self.search),
            "parameters": self.space.to_dict(),
        }


def trainable(config: SearchConfig, fixed: Iterable[Mapping[str, Any]] = ()) -> list[TrialSettings]:
    """What a search can train: the space's corners and the `fixed` settings of its arms."""
    return [*config.corners, *(config.settings_of(values) for values in fixed)]


def grid_size(space: Space) -> int:
    """Points of a space of plain choices."""
    return math.prod(len(parameter.choices) for parameter in space.parameters)
