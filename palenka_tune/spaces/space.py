"""Search spaces: which settings are searched, over which values, under which conditions.

    parameters:
      beta: {log_uniform: [0.3, 100]}
      projection.rank: {choice: [16, 64, null]}
      projection.center: {choice: [true, false], when: {projection.rank: null}}
      recipe.lr: {times: [0.33, 3]}

A parameter is addressed by the path of the setting (`alpha`, `projection.kind`, `recipe.lr`) or its last part. `when`
names other parameters and the values under which this one exists. `times` is a range of multiples of the fixed value,
by the logarithm: the same space then fits every scale. Values that are maps or lists (an explicit layer map)
are kept as JSON text in the study, since Optuna's categories are plain values.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna import Trial

from palenka_tune.config.build import full_path, leaf_paths, leaf_types
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.errors import UserError, nearest
from palenka_tune.spaces.experiment import ARCHITECTURE, StudentSettings

KINDS = ("choice", "uniform", "log_uniform", "int", "times")
# settings that all trials share
BUDGET = ("batch_size", "epochs", "accumulate", "precision", "step")
WHY_BUDGET = "trials are compared at the same step of the same batches"
# steps in which a range is walked through
STEPS = 10_000
# settings that mean nothing when a weight is 0
IDLE = {
    "alpha": (
        "temperature",
        "alpha_schedule",
        "kl_reduction",
        "ensemble",
        "divergence",
        "divergence_weight",
        "teacher_weights",
    ),
    "beta": ("beta_schedule", "beta_until", "hidden_gradient", "projection."),
}


def searchable_paths() -> list[str]:
    """Settings that a space may name: the loss's, its projection's, the student's architecture, and of its recipe what
    leaves the budget and the data of all trials the same."""
    recipe = [path for path in leaf_paths(Recipe, "recipe.") if path.removeprefix("recipe.") not in BUDGET]
    return [*leaf_paths(DistillSettings), *recipe, *(f"student.{name}" for name in ARCHITECTURE)]


def searchable_path(key: str, where: str) -> str:
    """The full path of a setting that a space may name (`lr` is `recipe.lr`).

    Raises:
        UserError: if there is none of that name, or all trials share it.
    """
    shared = key.removeprefix("recipe.")
    if shared in BUDGET:
        raise UserError(
            f"{where}: recipe.{shared} cannot be searched, since {WHY_BUDGET}; "
            f"give it one value, as --set recipe.{shared}=VALUE or under recipe"
        )
    return full_path(key, searchable_paths(), where)


def whole_numbers() -> list[str]:
    """Searchable settings that are whole numbers."""
    types = {
        **leaf_types(DistillSettings),
        **leaf_types(Recipe, "recipe."),
        **leaf_types(StudentSettings, "student."),
    }
    return [path for path in searchable_paths() if types[path] in (int, int | None)]


@dataclass(frozen=True)
class Parameter:
    """One searched setting: `choices`, or a range from `low` to `high` (both inclusive).

    Of the kind `times` they are multiples of a fixed value, until `Space.around` makes it a range by the logarithm;
    `multiples` then keeps them.
    """

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    multiples: tuple[float, float] | None = None

    @property
    def labels(self) -> list[Any]:
        """The choices as Optuna keeps them."""
        return [label(choice) for choice in self.choices]

    def suggest(self, trial: Trial) -> Any:
        if self.kind == "choice":
            chosen = trial.suggest_categorical(self.name, self.labels)
            return self.choices[self.labels.index(chosen)]
        if self.kind == "int":
            return trial.suggest_int(self.name, self.low, self.high, log=self.multiples is not None)
        return trial.suggest_float(self.name, self.low, self.high, log=self.kind == "log_uniform")

    def at(self, share: float) -> Any:
        """The value, as Optuna keeps it, at a `share` in [0, 1) of the way through the choices or the range."""
        if self.kind == "choice":
            return self.labels[int(share * len(self.choices))]
        if self.kind == "int" and self.multiples is None:
            return self.low + int(share * (self.high - self.low + 1))
        if self.kind == "uniform":
            return self.low + share * (self.high - self.low)
        value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return round(value) if self.kind == "int" else min(value, self.high)

    def values(self) -> Iterator[Any]:
        """Every value; of a range of numbers so many that trials tell them apart (`settings_key`)."""
        if self.kind == "choice":
            yield from self.choices
        elif self.kind == "int":
            yield from range(int(self.low), int(self.high) + 1)
        else:
            values = (max(self.low, self.at(number / STEPS)) for number in range(STEPS + 1))
            yield from (next(group) for _, group in itertools.groupby(values, _rounded))

    def has(self, value: Any) -> bool:
        """Whether `value` is one of its values."""
        if self.kind == "choice":
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high

    @property
    def is_range(self) -> bool:
        """Whether its ends stand for its values. Each size of a student is another model."""
        return self.kind != "choice" and not (self.kind == "int" and self.name.startswith("student."))

    def extremes(self) -> tuple[Any, ...]:
        """Values that stand for all when a space is checked: choices, both ends of a range, every size of a student."""
        if self.is_range:
            return self.low, self.high
        return self.choices if self.kind == "choice" else tuple(range(int(self.low), int(self.high) + 1))

    def to_dict(self) -> dict[str, Any]:
        """The parameter as a YAML file has it."""
        when = {}
        for name, allowed in self.when.items():
            alone = len(allowed) == 1 and not isinstance(allowed[0], list)
            when[name] = allowed[0] if alone else list(allowed)
        body = {"times": list(self.multiples)} if self.multiples else {self.kind: list(self.extremes())}
        return {**body, **({"when": when} if when else {})}

    def around(self, value: Any, where: str) -> Parameter:
        """The range that multiples of `value` make; raises `UserError` if it has no logarithm."""
        if self.kind != "times":
            return self
        if not isinstance(value, int | float) or value <= 0:
            raise UserError(
                f"{where}: {self.name}.times is a range of multiples of {self.name}, which is {value}; "
                "set it above 0, or write {log_uniform: [low, high]}"
            )
        low, high = self.low * value, self.high * value
        if self.name in whole_numbers():
            low, high = max(1, round(low)), max(1, round(high))
        kind = "int" if self.name in whole_numbers() else "log_uniform"
        return dataclasses.replace(self, kind=kind, low=low, high=high, multiples=(self.low, self.high))


def label(value: Any) -> Any:
    """A category as Optuna can keep it: plain values as they are, maps and lists as JSON text."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


@dataclass(frozen=True)
class Space:
    """All searched settings: `parameters` in an order in which conditions come first, `written` as they were given."""

    parameters: tuple[Parameter, ...]
    written: tuple[Parameter, ...]

    def to_dict(self) -> dict[str, Any]:
        """The `parameters` of a YAML file, of which `parse_space` makes this space again."""
        return {parameter.name: parameter.to_dict() for parameter in self.written}

    def around(self, fixed: Mapping[str, Any], where: str) -> Space:
        """The space with ranges in place of multiples, of the `fixed` values by path."""
        parameters = [each.around(fixed.get(each.name), where) for each in self.written]
        return space_of(parameters, where)

    def without(self, prefixes: tuple[str, ...]) -> Space:
        """The space without the settings whose names begin so, nor those whose conditions name one of them."""
        kept = list(self.written)
        while True:
            names = {each.name for each in kept if not each.name.startswith(prefixes)}
            left = [each for each in kept if each.name in names and names.issuperset(each.when)]
            if left == kept:
                return space_of(kept, "parameters")
            kept = left

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Values of one trial: {setting: value} of the parameters whose conditions hold."""
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if holds(parameter, values):
                values[parameter.name] = parameter.suggest(trial)
        return values

    def corners(self, limit: int = 20_000) -> Iterator[dict[str, Any]]:
        """Every reachable combination of choices and sizes of a student beside the upper ends of all ranges, and beside
        the lower end of one of them (at most `limit` raw combinations).

        The ends of two ranges do not meet: limits of a number do not depend on another one.
        """
        extremes = [parameter.extremes() for parameter in self.parameters]
        ranges = [number for number, parameter in enumerate(self.parameters) if parameter.is_range]
        tops = [values[-1:] if number in ranges else values for number, values in enumerate(extremes)]
        raw: Iterable[tuple[Any, ...]] = (
            (*top[:number], extremes[number][0], *top[number + 1 :]) if number >= 0 else top
            for top in itertools.product(*tops)
            for number in (-1, *ranges)
        )
        if math.prod(map(len, tops)) * (1 + len(ranges)) > limit:
            generator = random.Random(0)
            raw = (tuple(generator.choice(values) for values in extremes) for _ in range(limit))
        seen = set()
        for combination in raw:
            values: dict[str, Any] = {}
            for parameter, value in zip(self.parameters, combination, strict=True):
                if holds(parameter, values):
                    values[parameter.name] = value
            key = json.dumps({name: label(value) for name, value in values.items()}, sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield values

    def points(self, constants: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every setting of the space beside these constants, each student once: {setting: value}, constants included.

        A range of numbers holds so many that only a few can be taken; a space of choices comes to its end.
        """
        first = {name for name in IDLE if name not in constants}
        for parameter in reversed(self.parameters):  # the weights first, and what they depend on: they say what is idle
            first |= set(parameter.when) if parameter.name in first else set()
        order = sorted(self.parameters, key=lambda parameter: parameter.name not in first)
        seen = set()
        for values in self._completions(order, constants):
            key = settings_key(values)
            if key not in seen:
                seen.add(key)
                yield values

    def _completions(self, order: Sequence[Parameter], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every way to give the parameters `order` values beside those of `values`; of an idle one the values that
        conditions name, and one more."""
        if not order:
            yield dict(values)
            return
        parameter, rest = order[0], order[1:]
        if not holds(parameter, values):
            yield from self._completions(rest, values)
            return
        options: Iterable[Any] = parameter.values()
        if parameter.name not in effective({**values, parameter.name: None}):
            conditions = [value for each in rest for value in each.when.get(parameter.name, ())]
            others = (value for value in parameter.values() if value not in conditions)
            options = [*filter(parameter.has, conditions), *itertools.islice(others, 1)]
        for value in options:
            yield from self._completions(rest, {**values, parameter.name: value})

    def grid(self, where: str) -> dict[str, list[Any]]:
        """{setting: labels} for the grid sampler; refuses ranges and conditions."""
        for parameter in self.parameters:
            if parameter.kind != "choice" or parameter.when:
                what = "has a condition" if parameter.when else f"is a range ({parameter.kind})"
                raise UserError(
                    f"{where}: the grid sampler needs plain choices, but {parameter.name} {what}; "
                    "write {choice: [...]}, or use another sampler"
                )
        return {parameter.name: parameter.labels for parameter in self.parameters}


def effective(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that shape a student: without those of a term whose weight is 0."""
    idle = tuple(name for weight, names in IDLE.items() if values.get(weight) == 0 for name in names)
    return {name: value for name, value in values.items() if not (idle and name.startswith(idle))}


def _rounded(value: Any) -> Any:
    """A number with its first six digits; anything else as it is."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def settings_key(values: Mapping[str, Any]) -> str:
    """Equal for settings that train the same student, whatever their order: 0 and 0.0, or any rank when beta is 0; and
    for numbers that differ after six digits, which train no other one."""
    numbers = {name: _rounded(value) for name, value in effective(values).items()}
    # twice: the keys of a map are text once it was in a study, and sorted as such
    return json.dumps(json.loads(json.dumps(numbers)), sort_keys=True)


def holds(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether the parameter exists beside these values."""
    return all(name in values and values[name] in allowed for name, allowed in parameter.when.items())


def parse_space(raw: Any, where: str) -> Space:
    """A space from the `parameters` of a YAML file; raises `UserError` for anything that cannot be searched."""
    if not isinstance(raw, Mapping):
        raise UserError(f"{where}: parameters is {raw!r}; give a mapping such as beta: {{log_uniform: [0.3, 100]}}")
    parameters: dict[str, Parameter] = {}
    for key, entry in raw.items():
        name = searchable_path(str(key), f"{where}: parameters")
        if name in parameters:
            raise UserError(f"{where}: {name} stands twice under parameters; keep one")
        parameters[name] = parse_parameter(name, entry, where)
    return space_of(parameters.values(), where)


def parse_parameter(name: str, entry: Any, where: str) -> Parameter:
    """A parameter from its entry in a YAML file; `name` is its whole path."""
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where}: {name} is {entry!r}; under parameters write {{choice: [...]}} or {{log_uniform: [low, high]}}, "
            "and put a fixed value under distill"
        )
    for key in entry:
        if key not in (*KINDS, "when"):
            raise UserError(f"{where}: unknown key '{key}' of {name}{nearest(str(key), [*KINDS, 'when'])}")
    given = [kind for kind in KINDS if kind in entry]
    if len(given) != 1:
        raise UserError(f"{where}: {name} needs exactly one of {', '.join(KINDS)}")
    kind, body = given[0], entry[given[0]]
    when = _conditions(name, entry.get("when", {}), where)
    if not isinstance(body, list) or not body:
        raise UserError(f"{where}: {name}.{kind} is {body!r}; give a list")
    if kind == "choice":
        if not all(_plain(value) for value in body):
            raise UserError(
                f"{where}: {name}.choice is {body}; give numbers, words, true, false, null, or maps of these"
            )
        labels = [json.dumps(value, sort_keys=True, default=str) for value in body]
        if len(set(labels)) != len(labels):
            raise UserError(f"{where}: {name}.choice has a value twice: {body}; list each once")
        return Parameter(name, kind, choices=tuple(body), when=when)
    if kind not in ("int", "times") and name in whole_numbers():
        raise UserError(f"{where}: {name}.{kind} is {body}, but {name} is a whole number; write {{int: [low, high]}}")
    return _range(name, kind, body, when, where)


def _plain(value: Any) -> bool:
    """Whether a choice can be kept in a study: a plain value, or a map or list of plain values."""
    if isinstance(value, dict):
        return len({type(key) for key in value}) <= 1 and all(_plain(entry) for entry in (*value, *value.values()))
    if isinstance(value, list):
        return all(_plain(entry) for entry in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int | str) and len(str(value)) < 1000)


def _range(name: str, kind: str, body: list[Any], when: Mapping[str, tuple[Any, ...]], where: str) -> Parameter:
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) and abs(end) <= 1e300 for end in body)
    if len(body) != 2 or not numbers or (kind == "int" and any(end != int(end) for end in body)):
        what = "whole numbers" if kind == "int" else "numbers"
        raise UserError(f"{where}: {name}.{kind} is {body}; give two {what}, [low, high]")
    low, high = map(int, body) if kind == "int" else body
    if low > high:
        raise UserError(f"{where}: {name}.{kind} is [{low}, {high}], which is turned around; write [{high}, {low}]")
    if kind in ("log_uniform", "times") and low <= 0:
        raise UserError(f"{where}: {name}.{kind} starts at {low}; a logarithmic range starts above 0")
    return Parameter(name, kind, low=low, high=high, when=when)


def _conditions(name: str, raw: Any, where: str) -> dict[str, tuple[Any, ...]]:
    if not isinstance(raw, Mapping):
        raise UserError(f"{where}: {name}.when is {raw!r}; write {{other: value}} or {{other: [value, value]}}")
    conditions = {}
    for key, allowed in raw.items():
        other = searchable_path(str(key), f"{where}: {name}.when")
        conditions[other] = tuple(allowed) if isinstance(allowed, list) else (allowed,)
    return conditions


def space_of(written: Iterable[Parameter], where: str) -> Space:
    """The space of these parameters; raises `UserError` for conditions that cannot hold."""
    parameters = {parameter.name: parameter for parameter in written}
    for parameter in parameters.values():
        for other, allowed in parameter.when.items():
            if other not in parameters:
                raise UserError(
                    f"{where}: {parameter.name} depends on {other}, which is not searched; drop the condition, "
                    f"or search it{nearest(other, parameters)}"
                )
            target = parameters[other]
            if target.kind == "choice" and not any(value in target.choices for value in allowed):
                raise UserError(
                    f"{where}: {parameter.name} needs {other} to be {list(allowed)}, which is not among its choices "
                    f"{list(target.choices)}"
                )
    ordered: dict[str, Parameter] = {}
    waiting = dict(parameters)
    while waiting:
        ready = [name for name, p in waiting.items() if all(other in ordered for other in p.when)]
        if not ready:
            raise UserError(f"{where}: the conditions of {', '.join(waiting)} form a circle; break it")
        for name in ready:
            ordered[name] = waiting.pop(name)
    return Space(tuple(ordered.values()), tuple(parameters.values()))


def settled(parameters: Iterable[Parameter], name: str, values: Sequence[Any] | None) -> list[Parameter]:
    """The parameters beside `name`, once it can only have one of `values` (None: a range).

    Those whose condition can no longer hold leave too; a condition that now always holds is dropped.
    """
    others = []
    for parameter in parameters:
        allowed = parameter.when.get(name)
        if allowed is not None and values is not None:
            if not any(value in allowed for value in values):
                continue
            if all(value in allowed for value in values):
                when = {other: condition for other, condition in parameter.when.items() if other != name}
                parameter = dataclasses.replace(parameter, when=when)
        if parameter.name != name:
            others.append(parameter)
    return others
