"""Options that are defined once: a field of a dataclass with its type, its default and its help.

    @dataclass(frozen=True, kw_only=True)
    class SearchOptions:
        samples: int | None = option("trials to propose besides the fixed settings (default: the space's)", "N")
        resume: bool = flag("resume the search --name")

From such a class come a command's options (`add_options`), and so its shell completion and its page in the docs; the
keywords of a Python function, its signature and its docstring (`takes_options`, `split_options`); and the settings that
options are short names for (`settings_of`).
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, ParamSpec, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints, overload

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", covariant=True)


def option(
    help: str,
    metavar: str | None = None,
    *,
    default: Any = None,
    positional: bool = False,
    setting: str | None = None,
    **more: Any,
) -> Any:
    """A field that is an option of a command, `--dry-run` for `dry_run`.

    Args:
        help: What it does, for `--help` and for docstrings.
        metavar: What stands for its value in the help.
        default: Its default, or what makes it (`dict`); `dataclasses.MISSING` requires it.
        positional: Given by its place on the command line instead of by its name.
        setting: The dotted path of the setting that it is a short name for.
        more: For `ArgumentParser.add_argument`, such as `choices`.
    """
    argument = {"help": help, **({"metavar": metavar} if metavar else {}), **more}
    metadata = {"argument": argument, "positional": positional, "setting": setting}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def flag(help: str) -> Any:
    """A field that is an option without a value: True if it is given."""
    return option(help, default=False)


def add_options(parser: argparse.ArgumentParser, options: type, names: Collection[str] | None = None) -> None:
    """Give `parser` the options of a dataclass, or those of the given `names`. A mapping is `--set NAME=VALUE`, whose
    texts are `overrides` in the namespace."""
    types = get_type_hints(options)
    for field in dataclasses.fields(options):
        if names is not None and field.name not in names:
            continue
        name, argument = f"--{field.name.replace('_', '-')}", field.metadata["argument"]
        kind = next((each for each in get_args(types[field.name]) if each is not NoneType), types[field.name])
        required = field.default is dataclasses.MISSING
        value = {"type": kind, "default": None if required else field.default, **argument}
        if get_origin(types[field.name]) is Mapping:
            parser.add_argument("--set", action="append", dest="overrides", default=[], **argument)
        elif kind is bool:
            parser.add_argument(name, action="store_true", **argument)
        elif not field.metadata["positional"]:
            parser.add_argument(name, required=required, **value)
        else:
            several = get_origin(types[field.name]) is tuple
            parser.add_argument(field.name, nargs="*" if several else None if required else "?", **value)


def settings_of(options: Any) -> dict[str, Any]:
    """The settings that options are short names for: {dotted path: value}, None for one that was not given."""
    paths = {field.name: field.metadata["setting"] for field in dataclasses.fields(options)}
    return {path: getattr(options, name) for name, path in paths.items() if path}


def changed_options(options: Any, of: type) -> dict[str, Any]:
    """Those options that are fields of the dataclass `of` and differ from its defaults: {name: value}."""
    values = {field.name: (getattr(options, field.name), _default(field)) for field in dataclasses.fields(of)}
    return {name: value for name, (value, default) in values.items() if value != default}


class TakesOptions(Protocol[P, R]):
    """A function that takes options, for type checkers and editors: the fields of a dataclass, or any setting."""

    @overload
    def __call__(self, first: Any = None, /, *args: P.args, **options: P.kwargs) -> R: ...
    @overload
    def __call__(self, first: Any = None, /, **settings: Any) -> R: ...


def takes_options(options: Callable[P, object]) -> Callable[[Callable[..., R]], TakesOptions[P, R]]:
    """Show the fields of a dataclass as keywords of a function, which passes its `**more` to `split_options`.

    In the signature they stand before `more`, in the docstring in place of `{options}`. What the function or its
    docstring names itself is left out.
    """

    def show(function: Callable[..., R]) -> TakesOptions[P, R]:
        signature, doc = inspect.signature(function), inspect.cleandoc(function.__doc__ or "")
        *first, more = signature.parameters.values()
        fields = [field for field in dataclasses.fields(cast(Any, options)) if field.name not in signature.parameters]
        keywords = [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=field.type
            )
            for field in fields
        ]
        lines = [_described(field) for field in fields if f"    {field.name}: " not in doc]
        shown = cast(Any, function)
        shown.__signature__ = signature.replace(parameters=[*first, *keywords, more])
        shown.__doc__ = doc.replace("    {options}", "\n".join(lines))
        return cast(TakesOptions[P, R], shown)

    return show


def _default(field: dataclasses.Field[Any]) -> Any:
    """The default in a signature."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def _described(field: dataclasses.Field[Any]) -> str:
    """The help of an option as an entry of a docstring's `Args`, in which other options are keywords."""
    text = re.sub(r"--([a-z-]+)", lambda name: f"`{name[1].replace('-', '_')}`", field.metadata["argument"]["help"])
    text = f"{field.name}: {text[0].upper()}{text[1:]}."
    return textwrap.fill(text, 116, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)


def split_options(options: Callable[..., T], keywords: Mapping[str, Any]) -> tuple[T, dict[str, Any]]:
    """Keywords of a function as an instance of the dataclass, in which None is the default, and all other keywords."""
    names = {field.name for field in dataclasses.fields(cast(Any, options))}
    values = {name: value for name, value in keywords.items() if name in names and value is not None}
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return options(**texts), {name: value for name, value in keywords.items() if name not in names}
