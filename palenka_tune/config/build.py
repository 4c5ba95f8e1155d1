"""Strict typed configuration: dataclasses from mappings, YAML files, and `--set a.b=c`.

Every refusal is a `UserError` of one sentence that says where the value stands, what was given and what is allowed; an
unknown key names the nearest known one. Types are checked by pydantic on plain dataclasses, so that the distillation
core need not import it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from palenka_tune.errors import UserError, nearest

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls` from `values`; `where` (a file or an option) opens each error."""
    unknown = _unknown_key(cls, values, "")
    if unknown:
        path, known = unknown
        raise UserError(f"{where}: unknown key '{path}'{nearest(path.rsplit('.', 1)[-1], known)}")
    mistaken = _mistaken(cls, values, "")
    if mistaken:
        path, value = mistaken
        raise UserError(
            f"{where}: {path} is {value!r}; input should be a valid number: "
            + ("what is in quotes is text" if isinstance(value, str) else "YAML reads yes, no, on and off so")
        )
    try:
        checked: T = _adapter(cast(Any, cls)).validate_python(dict(values))
        return checked
    except ValidationError as error:
        first = error.errors()[0]
        inner = first.get("ctx", {}).get("error")
        if isinstance(inner, UserError):
            raise UserError(f"{where}: {inner}") from None
        # pydantic adds the member of a union that it tried ("str", "dict[int,int]"): our keys are names and numbers
        names = {part for path in leaf_paths(cls) for part in path.split(".")}
        key = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in names)
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise UserError(f"{where}: {key} is {first['input']!r}; {message}") from None


@functools.cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


@functools.cache
def _nested(cls: Any) -> dict[str, Any]:
    """Fields of a dataclass, with the dataclass of those that are one."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _unknown_key(cls: Any, values: Mapping[str, Any], prefix: str) -> tuple[str, list[str]] | None:
    fields = _nested(cls)
    for key, value in values.items():
        if key not in fields:
            return f"{prefix}{key}", list(fields)
        if dataclasses.is_dataclass(fields[key]) and isinstance(value, Mapping):
            found = _unknown_key(fields[key], value, f"{prefix}{key}.")
            if found:
                return found
    return None


def _mistaken(kind: Any, value: Any, path: str) -> tuple[str, Any] | None:
    """The path and value of a text or truth value that stands for a number: pydantic would make one of `"2024_06"`."""
    inside: Iterable[tuple[Any, Any, Any]] = ()
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        fields = _nested(cast(Any, kind))
        inside = ((key, fields[key], each) for key, each in value.items() if key in fields)
    elif isinstance(value, list | tuple) and (kinds := get_args(kind)):
        inside = ((number, kinds[0], each) for number, each in enumerate(value))
    elif isinstance(value, str | bool):
        may_be = _plain_types(kind)
        if may_be & {int, float} and not may_be & {str, type(value)}:
            return path, value
    for key, each_kind, each in inside:
        if found := _mistaken(each_kind, each, f"{path}.{key}" if path else str(key)):
            return found
    return None


@functools.cache
def _plain_types(kind: Any) -> frozenset[type]:
    """The plain types that a value of `kind` may have."""
    if get_origin(kind) is Literal:
        return frozenset(type(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType, Annotated):
        return frozenset().union(*(_plain_types(each) for each in get_args(kind)))
    return frozenset({kind}) if isinstance(kind, type) else frozenset()


def leaf_paths(cls: Any, prefix: str = "") -> list[str]:
    """Dotted paths of all settings of a dataclass, such as `projection.kind`."""
    return list(leaf_types(cls, prefix))


def leaf_types(cls: Any, prefix: str = "") -> dict[str, Any]:
    """The type of each setting of a dataclass by its dotted path."""
    types: dict[str, Any] = {}
    for name, kind in _nested(cls).items():
        types |= leaf_types(kind, f"{prefix}{name}.") if dataclasses.is_dataclass(kind) else {prefix + name: kind}
    return types


def full_path(key: str, paths: Iterable[str], where: str) -> str:
    """Resolve a setting given by its dotted path, or by its last part where that is unique (`rank`)."""
    known = list(paths)
    if key in known:
        return key
    matches = [path for path in known if path.endswith(f".{key}")]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"{where}: '{key}' could be {' or '.join(matches)}; write the full name")
    inside = [path for path in known if path.startswith(f"{key}.") or f".{key}." in path]
    if inside:
        raise UserError(f"{where}: '{key}' is a group of settings; give one of them, such as {inside[0]}")
    leaves = {path.rsplit(".", 1)[-1]: path for path in known}
    hint = nearest(key, {**leaves, **dict.fromkeys(known)})
    raise UserError(f"{where}: unknown setting '{key}'{hint}; python -m palenka_tune.init DIR writes a file with all")


def check_keywords(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse keywords of a Python function that are no settings; `known` has its own parameters too, to name them."""
    names = list(known)
    for name in given:
        full_path(name, names, where)


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Put `value` at a dotted path of nested dicts."""
    *parents, last = path.split(".")
    for parent in parents:
        child = tree.get(parent)
        if not isinstance(child, dict):
            child = tree[parent] = {}
        tree = child
    tree[last] = value


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted path: value}, lists of plain values as they are."""
    items: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            items |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            items |= flat({str(number): entry for number, entry in enumerate(value)}, f"{prefix}{key}.")
        else:
            items[f"{prefix}{key}"] = value
    return items


def parse_assignment(text: str) -> tuple[str, Any]:
    """`a.b=c` as ("a.b", value); the value is read as YAML, so `1e-3`, `null`, `[1, 2]` and `{choice: [1]}` work."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: write it as name=value, such as --set beta=3")
    try:
        return key.strip(), yaml.load(raw, Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"--set {text[:80]}: the value is not YAML ({_yaml_problem(error)})") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file with a mapping at its top; only plain data is read (safe loader), keys may stand only once."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a path or one of the search spaces by name") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a YAML file") from None
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML ({_yaml_problem(error)}); mend the file") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds {type(value).__name__}, not a mapping of settings; see search_spaces/dskd.yaml")
    return {str(key): entry for key, entry in value.items()}


class _UniqueKeys(yaml.SafeLoader):
    """Safe loader that refuses a key given twice, which YAML would otherwise let the last one win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *other`, whose keys this mapping's own replace
                continue
            key = self.construct_object(key_node, deep=True)
            try:
                repeated = key in seen
                seen.add(key)
            except TypeError:
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be plain text", node.start_mark
                ) from None
            if repeated:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes a text which our loader would take for a number."""


# YAML 1.1 reads `1e-3` as text; people mean the number
for _each in (_UniqueKeys, _Dumper):
    _each.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def dump_yaml(value: Any, **form: Any) -> str:
    """Plain data as YAML that `load_yaml` reads as it was; `form` is PyYAML's."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **form)


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or within itself"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or (str(error).splitlines() or [type(error).__name__])[0][:200]
    return f"line {mark.line + 1}: {problem}" if mark else problem
