"""Limits on a field: what is refused, in which words, and what a JSON Schema says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import TypeAdapter

from palenka_tune.errors import UserError
from palenka_tune.limits import Limits, check_fields


@dataclass(frozen=True)
class Settings:
    shared: ClassVar[int] = 0

    count: Annotated[int, Limits(ge=1, le=10**6)] = 1
    share: Annotated[float, Limits(gt=0, lt=1)] = 0.5
    cap: Annotated[float, Limits(ge=2, hint=", or null for all")] | None = None
    kind: Literal["linear", "mlp"] = "linear"
    note: str = ""

    def __post_init__(self) -> None:
        check_fields(self, "it.")


@pytest.mark.parametrize(
    "values",
    [{}, {"count": 1}, {"count": 10**6}, {"share": 1e-300}, {"cap": 2}, {"cap": 1e308}, {"kind": "mlp", "note": "x"}],
    ids=str,
)
def test_what_lies_inside_is_taken(values):
    Settings(**values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"count": 0}, "it.count is 0; it must be from 1 to 1,000,000"),
        ({"count": 10**400}, f"it.count is {10**400}; it must be from 1 to 1,000,000"),
        ({"share": 0}, "it.share is 0; it must be above 0 and below 1"),
        ({"share": 1.0}, "it.share is 1.0; it must be above 0 and below 1"),
        ({"share": math.nan}, "it.share is nan; it must be above 0 and below 1, and finite"),
        ({"cap": 1}, "it.cap is 1; it must be 2 or more, or null for all"),
        ({"cap": math.inf}, "it.cap is inf; it must be 2 or more, and finite, or null for all"),
        ({"kind": "lineer"}, "it.kind is 'lineer'; it must be one of linear, mlp (did you mean 'linear'?)"),
        ({"kind": None}, "it.kind is 'None'; it must be one of linear, mlp (known: linear, mlp)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_lies_outside_is_refused_in_one_sentence(values, sentence):
    with pytest.raises(UserError) as error:
        Settings(**values)
    assert str(error.value) == sentence


def test_a_json_schema_has_the_limits_and_pydantic_leaves_the_words_to_us():
    adapter = TypeAdapter(Settings)
    properties = adapter.json_schema()["properties"]
    assert (properties["count"]["minimum"], properties["count"]["maximum"]) == (1, 10**6)
    assert {"type": "number", "minimum": 2} in properties["cap"]["anyOf"]
    with pytest.raises(ValueError, match=r"it\.share is 2\.0; it must be above 0 and below 1"):
        adapter.validate_python({"share": 2})


def test_a_schema_gives_the_limits_back():
    limits = Limits(ge=0, lt=1)
    assert Limits.of_schema({"type": "number", **limits.as_schema()}) == limits
    assert str(Limits.of_schema({"type": "number"})) == ""
