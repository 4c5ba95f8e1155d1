"""What a setting may be, declared once, on its field:

    samples: Annotated[int, Limits(ge=1, le=1_000_000)] = 12

`check_fields`, called when the settings are made, refuses any other value; the JSON Schema of search spaces has
the same limits. Standard library only, because the distillation core needs torch alone.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from palenka_tune.errors import UserError, nearest

# a bound's name (that of `annotated_types`): its comparison, its keyword in a JSON Schema, its words
BOUNDS: dict[str, tuple[Callable[[float, float], bool], str, str]] = {
    "ge": (operator.ge, "minimum", "{:,} or more"),
    "gt": (operator.gt, "exclusiveMinimum", "above {:,}"),
    "le": (operator.le, "maximum", "at most {:,}"),
    "lt": (operator.lt, "exclusiveMaximum", "below {:,}"),
}


@dataclass(frozen=True)
class Limits:
    """The bounds of a number; infinity and NaN are always outside. `hint` ends the sentence that refuses a value."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    hint: str = ""

    @classmethod
    def of_schema(cls, node: Mapping[str, Any]) -> Limits:
        """The limits that a node of a JSON Schema sets."""
        bounds: dict[str, Any] = {name: node.get(keyword) for name, (_, keyword, _) in BOUNDS.items()}
        return cls(**bounds)

    def as_schema(self) -> dict[str, float]:
        """The limits as keywords of a JSON Schema."""
        return {BOUNDS[name][1]: bound for name, bound in self._bounds().items()}

    def __str__(self) -> str:
        if self.ge is not None and self.le is not None:
            return f"from {self.ge:,} to {self.le:,}"
        return " and ".join(BOUNDS[name][2].format(bound) for name, bound in self._bounds().items())

    def check(self, name: str, value: float) -> None:
        """Raise `UserError` for a value outside; `name` opens the sentence."""
        finite = -math.inf < value < math.inf  # whole numbers may be too large for `math.isfinite`
        if not finite or not all(BOUNDS[bound][0](value, end) for bound, end in self._bounds().items()):
            raise UserError(f"{name} is {value}; it must be {self}{'' if finite else ', and finite'}{self.hint}")

    def _bounds(self) -> dict[str, float]:
        return {name: bound for name in BOUNDS if (bound := getattr(self, name)) is not None}

    # pydantic asks everything that annotates a field for this. It learns the limits for its JSON Schema only: if these
    # were `annotated_types`, pydantic would refuse a value in its own words before `check_fields` could do so in ours
    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return handler(schema) | self.as_schema()


class Strict:
    """Base of a dataclass of settings: `config.build` refuses a key that is none of its fields."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def check_fields(settings: Any, prefix: str = "") -> None:
    """Raise `UserError` if a field of a dataclass is outside its `Limits` or is none of its `Literal` choices.

    `prefix` opens the field's name in the sentence. Types are not checked here: `config.build` does that.
    """
    for name, kinds in _kinds(settings.__class__).items():
        value = getattr(settings, name)
        if value is None and NoneType in kinds:
            continue
        for kind in kinds:
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            if choices and value not in choices:
                raise UserError(
                    f"{prefix}{name} is '{value}'; it must be one of {', '.join(choices)}{nearest(str(value), choices)}"
                )
            for limits in getattr(kind, "__metadata__", ()):
                limits.check(f"{prefix}{name}", value)


@functools.cache
def _kinds(cls: type) -> dict[str, tuple[Any, ...]]:
    """The types that each field of a dataclass may have, with what annotates them."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,) for name, hint in hints.items()}
