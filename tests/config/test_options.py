"""Options that are fields of a dataclass: on a command line, and as the keywords of a function."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from palenka_tune.config.options import (
    add_options,
    changed_options,
    flag,
    option,
    settings_of,
    split_options,
    takes_options,
)


@dataclass(frozen=True, kw_only=True)
class Few:
    """A base, whose options come first."""

    seed: int | None = option("seed of all (default: 0)", "N", setting="search.seed")
    settings: Mapping[str, Any] = option("set any", "NAME=VALUE", default=dict)


@dataclass(frozen=True, kw_only=True)
class All(Few):
    """One option of each kind."""

    out: str = option("where to write", "DIR", default=dataclasses.MISSING)
    share: float = option("a share", "X", default=0.5)
    kind: str = option("which; see --dry-run", default="a", choices=["a", "b"])
    dry_run: bool = flag("print the plan")
    what: str = option("what", "WHAT", default=dataclasses.MISSING, positional=True)
    rest: tuple[str, ...] = option("more", "MORE", default=(), positional=True)


def parsed(argv: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, All, names)
    return vars(parser.parse_args(argv.split()))


def test_fields_are_options_of_their_types():
    assert parsed("this --out x") == {
        "seed": None,
        "overrides": [],
        "out": "x",
        "share": 0.5,
        "kind": "a",
        "dry_run": False,
        "what": "this",
        "rest": (),
    }
    args = parsed("this a b --out x --seed 3 --share 1 --kind b --dry-run --set x=1 --set y=2")
    assert (args["seed"], args["share"], args["kind"], args["dry_run"], args["rest"]) == (3, 1.0, "b", True, ["a", "b"])
    assert args["overrides"] == ["x=1", "y=2"]


@pytest.mark.parametrize("argv", ["this --out x --seed few", "this --out x --kind c"])
def test_values_are_checked(argv):
    with pytest.raises(argparse.ArgumentError):
        parsed(argv)


@pytest.mark.parametrize("argv", ["this", "--out x"])
def test_what_has_no_default_is_required(argv):
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        parsed(argv)


def test_a_command_may_take_some_of_them():
    assert parsed("--seed 3", ("seed", "share")) == {"seed": 3, "share": 0.5}


@takes_options(All)
def function(space: str | None = None, *, share: float = 0.7, **more: Any) -> tuple[All, dict[str, Any]]:
    """What it does.

    Args:
        space: The first.
        share: Another share here.
        {options}
        settings: As the docstring says.
        more: Settings.

    Raises:
        ValueError: never.
    """
    return split_options(All, {**more, "share": share})


def test_a_function_shows_them_as_its_keywords():
    signature = inspect.signature(function)
    names = ["space", "share", "seed", "settings", "out", "kind", "dry_run", "what", "rest", "more"]
    assert list(signature.parameters) == names
    assert all(signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names[1:-1])
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    assert (defaults["share"], defaults["seed"], defaults["settings"]) == (0.7, None, {})
    assert defaults["out"] is inspect.Parameter.empty
    assert signature.parameters["seed"].annotation == "int | None"


def test_the_docstring_has_what_it_does_not_say_itself():
    assert inspect.getdoc(function).split("Args:\n")[1].split("\n\n")[0].splitlines() == [
        "    space: The first.",
        "    share: Another share here.",
        "    seed: Seed of all (default: 0).",
        "    out: Where to write.",
        "    kind: Which; see `dry_run`.",
        "    dry_run: Print the plan.",
        "    what: What.",
        "    rest: More.",
        "    settings: As the docstring says.",
        "    more: Settings.",
    ]


def test_keywords_are_split_into_options_and_the_rest():
    options, rest = function(out=Path("x"), what="this", seed=None, dry_run=True, rank=None)
    assert options == All(out="x", what="this", share=0.7, dry_run=True)
    assert rest == {"rank": None}


def test_what_is_required_is_required_of_a_function_too():
    with pytest.raises(TypeError, match="out"):
        function(what="this")


def test_options_that_differ_from_their_defaults_and_the_settings_that_they_stand_for():
    options = All(out="x", what="this", seed=0, share=0.5, settings={})
    assert changed_options(options, Few) == {"seed": 0}
    assert changed_options(dataclasses.replace(options, seed=None, settings={"a": 1}), Few) == {"settings": {"a": 1}}
    assert settings_of(options) == {"search.seed": 0}
