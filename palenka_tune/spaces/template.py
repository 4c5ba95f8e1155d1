"""A first search space to edit: YAML in which every setting stands with its meaning and its allowed values.

Made of the schema and of a shipped space, so that it cannot say what is not so. What the space itself sets is written
out; every other setting is there as `#name: value`, with the value that it has anyway: take the `#` away to change it.
"""

from __future__ import annotations

import textwrap
from typing import Any

from palenka_tune.config.build import dump_yaml, load_yaml
from palenka_tune.distill.settings import ProjectionSettings
from palenka_tune.limits import Limits
from palenka_tune.spaces.resolve import find_space, resolve
from palenka_tune.spaces.schema import Node, space_schema
from palenka_tune.spaces.settings import SECTIONS, SearchConfig
from palenka_tune.spaces.space import BUDGET, WHY_BUDGET, searchable_paths

WIDTH = 110
SPACE_FILE, SCHEMA_FILE = "search_space.yaml", "search_space.schema.json"

KINDS = "{choice: [a, b, null]}  {uniform: [low, high]}  {log_uniform: [low, high]}  {int: [low, high]}"


def space_text(config: SearchConfig, base: str, command: str) -> str:
    """The YAML of `config`, which came from the shipped space `base` and settings beside it; `command` is how to check
    the file."""
    schema = space_schema()
    tree, plain = config.tree(), resolve(base, options={"scale": config.experiment.scale}).tree()
    given = load_yaml(find_space(base)) | {"data": {"source": config.experiment.data.source}}
    top = schema["properties"]
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        *_prose(
            f"A search space, begun from {base}. A line that begins with # and a name shows a setting and the value "
            "that it has; take the # away to change it."
        ),
        f"#   {command}",
        "",
        f"description: {_flow(config.description)}",
        *_prose(top["scale"]["description"]),
        _line("scale", tree["scale"], top["scale"], "", active=True),
        *_prose(top["seed"]["description"]),
        _line("seed", tree["seed"], top["seed"], "", active=tree["seed"] != plain["seed"]),
    ]
    for name in SECTIONS:
        group = schema["$defs"][SECTIONS[name].__name__]
        lines += ["", *_prose(group["description"]), f"{name}:"]
        lines += _settings(group, tree[name], plain[name], given.get(name) or {}, "  ", schema)
        if name == "recipe":
            lines += _teachers(tree, plain, top["teachers"])
    lines += ["", *_prose("What is searched: a setting by its name, with its values or its range,"), f"#   {KINDS}"]
    lines += _prose(
        "and, where it means something only beside certain values of another one, when: {other: value} or when: "
        "{other: [value, value]}. A setting that is not here keeps its value from above. Not "
        f"{', '.join(BUDGET)}: {WHY_BUDGET}. Names: "
        f"{', '.join(searchable_paths())}."
    )
    lines.append("parameters:")
    for name, entry in config.space.to_dict().items():
        lines.append(f"  {name}: {_flow(entry)}")
    return "\n".join(lines) + "\n"


def _settings(
    group: Node, values: dict[str, Any], plain: dict[str, Any], given: dict[str, Any], indent: str, schema: Node
) -> list[str]:
    """A line a setting; those are active that the base gives or that differ from the base's `plain` values."""
    lines = []
    for name, node in group["properties"].items():
        if name == "projection":
            inner = schema["$defs"][ProjectionSettings.__name__]
            lines += [*_prose(inner["description"], indent), f"{indent}{name}:"]
            lines += _settings(inner, values[name], plain[name], given.get(name) or {}, indent + "  ", schema)
        else:
            active = name in given or values[name] != plain[name]
            lines.append(_line(name, values[name], node, indent, active=active))
    return lines


def _teachers(tree: dict[str, Any], plain: dict[str, Any], node: Node) -> list[str]:
    if tree["teachers"] != plain["teachers"]:
        return ["", *_prose(node["description"]), f"teachers: {_flow(tree['teachers'])}"]
    lines = ["", *_prose(node["description"]), "#teachers:"]
    shown = ("lr", "batch_size", "epochs")  # the others are then the scale's
    for teacher in tree["teachers"]:
        recipe = {name: teacher["recipe"][name] for name in shown}
        lines.append(f"#- {_flow({'preset': teacher['preset'], 'recipe': recipe})}")
    return lines


def _line(name: str, value: Any, node: Node, indent: str, *, active: bool) -> str:
    setting = f"{indent}{'' if active else '#'}{name}: {_flow(value)}"
    return f"{setting:<34}  # {allowed(node)}"


def allowed(node: Node) -> str:
    """What a value may be, in words: `linear | mlp`, `a whole number, 1 or more, or null`."""
    if "anyOf" in node:
        branches = [branch for branch in node["anyOf"] if not branch.get("deprecated")]
        return ", or ".join(dict.fromkeys(allowed(branch) for branch in branches))
    if "enum" in node:
        names = [_flow(name) for name in node["enum"] if name is not None]
        if len(names) < 10:
            return " | ".join(names)
        return f"{names[0]}, {names[1]}, ... (python -m palenka_tune.train --list)"
    kind = node.get("type")
    if kind == "string" and node.get("pattern", "").startswith("^every"):
        return "every:N"
    words = {
        "boolean": "true | false",
        "string": "text",
        "null": "null",
        "number": "a number",
        "integer": "a whole number",
        "object": "{teacher: student}",
        "array": "a list",
    }[str(kind)]
    limits = str(Limits.of_schema(node))
    return f"{words}, {limits}" if limits else words


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return dump_yaml([value], default_flow_style=True, width=10**9).strip()[1:-1]


def _prose(text: str, indent: str = "") -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, WIDTH - len(indent))]
