"""The JSON Schema of a search space, by which an editor completes, explains and checks the YAML while it is written.

Made of the settings' own dataclasses and of the registries, with what their docstrings say of each setting. It is
published as `search_spaces/schema.json`:

    python -m palenka_tune.spaces.schema > search_spaces/schema.json

What compares one setting with another (a rank with a model's width, the two ends of a range) only `resolve` can check.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from pydantic import TypeAdapter

from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import DataSettings
from palenka_tune.distill.layer_maps import NAMED
from palenka_tune.distill.settings import ProjectionSettings
from palenka_tune.limits import Limits
from palenka_tune.models.presets import POSTER, PRESETS, SEPARATOR, SHRINKAGES
from palenka_tune.models.scales import SCALES
from palenka_tune.spaces.experiment import SEED, StudentSettings, TeacherSettings
from palenka_tune.spaces.samplers import SAMPLERS
from palenka_tune.spaces.settings import SECTIONS
from palenka_tune.spaces.space import searchable_paths

Node = dict[str, Any]
GROUP_OF = {
    "": "DistillSettings",
    "projection": "ProjectionSettings",
    "recipe": "Recipe",
    "student": "StudentSettings",
}
GROUPS = (*SECTIONS.values(), ProjectionSettings, TeacherSettings)

_ABOVE_0 = Limits(gt=0).as_schema()
# settings whose default the scale gives
FROM_SCALE: dict[type, tuple[str, ...]] = {
    DataSettings: ("vocabulary", "window"),
    StudentSettings: ("preset", "train_windows", "dev_windows"),
    Recipe: tuple(Recipe.__dataclass_fields__),
}


def space_schema() -> Node:
    """The schema, draft 2020-12."""
    groups = {group.__name__: _group(group) for group in GROUPS}
    groups["StudentSettings"]["properties"]["preset"].update(_preset())
    groups["TeacherSettings"]["properties"]["preset"] = _describe(
        TeacherSettings, "preset", {"anyOf": [_preset(), {"type": "string", "pattern": r"[/\\:]|^[.~]"}]}
    )
    groups["TeacherSettings"]["required"] = ["preset"]
    groups["ProjectionSettings"]["properties"]["layer_map"] |= {"anyOf": _layer_maps()}
    groups["DataSettings"]["properties"]["source"]["pattern"] = r"\S"
    groups["SearchSettings"]["properties"]["sampler"]["enum"] = list(SAMPLERS)
    objective = groups["SearchSettings"]["properties"]["objective"]
    older = [name.replace("_", "/") for name in objective["enum"]]  # as files of before spell it
    objective["anyOf"] = [{"enum": objective.pop("enum")}, {"enum": older, "deprecated": True}]
    weights = groups["DistillSettings"]["properties"]["teacher_weights"]["anyOf"][0]
    weights |= {"items": {"type": "number", **Limits(ge=0).as_schema()}, "contains": _ABOVE_0}
    names = {path: f"parameter {path}" for path in searchable_paths()}
    definitions = {**groups, "conditions": _conditions(groups)}
    definitions |= {names[path]: _parameter(path, groups) for path in names}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A search space of palenka_tune",
        **_closed(
            "What is trained, what is fixed and what is searched. A key that is not given is the scale's.",
            _top_level(names),
        ),
        "allOf": [_grid_needs_choices(), _poster_objective(), _without_teachers()],
        "$defs": definitions,
    }


def _top_level(names: dict[str, str]) -> dict[str, Node]:
    """The keys of a file, in the order of the reference page; `names` has the definition of each searchable setting."""
    spellings = parameter_names()
    searched = _closed(
        "What is searched: each setting by its name, with a kind and its values or its range.",
        {name: {"$ref": f"#/$defs/{names[path]}"} for name, path in spellings.items()},
    )
    once = [{"not": {"type": "object", "required": [name, path]}} for name, path in spellings.items() if name != path]
    teacher = {"anyOf": [{"$ref": "#/$defs/TeacherSettings/properties/preset"}, {"$ref": "#/$defs/TeacherSettings"}]}
    return {
        "description": {"description": "One line on what the space is for.", "type": ["string", "null"]},
        "scale": {
            "description": "The size of the experiment, which gives the defaults of all that follows.",
            "enum": [*SCALES, None],
            "default": "tiny",
        },
        "seed": {"description": "Seed of everything random.", "type": "integer", **SEED.as_schema(), "default": 0},
        "data": _optional("DataSettings"),
        "student": _optional("StudentSettings"),
        "recipe": _optional("Recipe"),
        "teachers": {
            "description": "The teachers, each by a preset's name, a model folder, or with a recipe of its own.",
            "type": "array",
            "items": teacher,
        },
        # a search also trains a student that has nothing else to learn from
        "distill": _optional("DistillSettings") | {"properties": {"ce_weight": _ABOVE_0}},
        "cache": _optional("CacheSettings"),
        "search": _optional("SearchSettings"),
        "parameters": searched | {"type": ["object", "null"], "allOf": once},
    }


def _closed(description: str, properties: dict[str, Node]) -> Node:
    """A mapping with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _group(cls: type) -> Node:
    """The properties of a dataclass, with what its docstring says of each and without what only the scale knows."""
    adapted = TypeAdapter(cls).json_schema()
    properties = {}
    for name, node in adapted["properties"].items():
        node = {key: value for key, value in node.items() if key != "title"}
        if name in FROM_SCALE.get(cls, ()):
            node.pop("default", None)
        if "$ref" in node:  # what a group of settings leaves out has its default
            node = {"anyOf": [node, {"type": "null"}]}
        properties[name] = _describe(cls, name, node)
    return _closed(_text(cls.__doc__ or ""), properties)


def _describe(cls: type, name: str, node: Node) -> Node:
    """The node with the sentences of the docstring that name the setting."""
    sentences = re.split(r"(?<=\.)\s+(?=[A-Z`])", _text(cls.__doc__ or ""))
    said = " ".join(sentence for sentence in sentences if f"`{name}`" in sentence)
    return {"description": said, **node} if said else node


def _text(docstring: str) -> str:
    return " ".join(docstring.split()).replace("None", "null")


def _optional(group: str) -> Node:
    return {"anyOf": [{"$ref": f"#/$defs/{group}"}, {"type": "null"}]}


def _preset() -> Node:
    """Every architecture by name; the poster's also made smaller."""
    smaller = [f"{name}{SEPARATOR}{scale}" for name in POSTER for scale in SHRINKAGES]
    return {"type": "string", "enum": [*PRESETS, *smaller]}


def _layer_maps() -> list[Node]:
    explicit = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[0-9]+$"},
        "additionalProperties": {"type": "integer", "minimum": 0},
    }
    return [
        {"enum": list(NAMED)},
        {"type": "string", "pattern": "^every:0*[1-9][0-9]*$"},
        explicit,
        {"type": "array", "minItems": 1, "items": explicit},
    ]


def parameter_names() -> dict[str, str]:
    """Every name by which a space may call a setting, with its path: the path, or the end of it where that tells."""
    paths = searchable_paths()
    names = {path: path for path in paths}
    for path in paths:
        last = path.rpartition(".")[2]
        if last not in names and sum(other.endswith(f".{last}") for other in paths) == 1:
            names[last] = path
    return names


def _setting(path: str, groups: dict[str, Node]) -> tuple[str, Node]:
    """Where the schema of a searchable setting stands, and what it is."""
    prefix, _, name = path.rpartition(".")
    group = GROUP_OF[prefix]
    return f"#/$defs/{group}/properties/{name}", groups[group]["properties"][name]


def _parameter(path: str, groups: dict[str, Node]) -> Node:
    """How one setting may be searched: over choices, and where it is a number over a range."""
    reference, setting = _setting(path, groups)
    kinds: dict[str, Node] = {
        "choice": {
            "description": "The values to choose from.",
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"$ref": reference},
        }
    }
    for branch in setting.get("anyOf", [setting]):
        limits = Limits.of_schema(branch).as_schema()
        if branch.get("type") == "number":
            kinds["uniform"] = _range("number", {"minimum": -1e300, "maximum": 1e300, **limits}, "Evenly")
            kinds["log_uniform"] = _range(
                "number", {"maximum": 1e300, **limits, **_ABOVE_0}, "By its logarithm, evenly"
            )
        if branch.get("type") in ("number", "integer"):
            kinds["int"] = _range("integer", limits, "Whole numbers")
            kinds["times"] = _range("number", {"maximum": 1e300, **_ABOVE_0}, "Multiples of the fixed value, evenly")
    keys = {**kinds, "when": {"$ref": "#/$defs/conditions"}}
    return _closed(setting.get("description", ""), keys) | {"oneOf": [{"required": [kind]} for kind in kinds]}


def _range(kind: str, limits: Node, how: str) -> Node:
    return {
        "description": f"{how} from low to high, [low, high].",
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": kind, **limits},
    }


def _conditions(groups: dict[str, Node]) -> Node:
    values = {}
    for name, path in parameter_names().items():
        value = {"$ref": _setting(path, groups)[0]}
        values[name] = {"anyOf": [value, {"type": "array", "items": value}]}
    return _closed(
        "Other searched settings, each with the value or the values at which this one is searched too.", values
    )


def _grid_needs_choices() -> Node:
    plain = {"required": ["choice"], "properties": {"when": {"maxProperties": 0}}}
    grid = {"required": ["sampler"], "properties": {"sampler": {"const": "grid"}}}
    return {
        "if": {"required": ["search"], "properties": {"search": grid}},
        "then": {"properties": {"parameters": {"additionalProperties": plain}}},
    }


def _poster_objective() -> Node:
    """`val_total` is what searched weights rescale: no sampler and no early stopping can go by it."""
    grid = {"required": ["sampler", "rungs"], "properties": {"sampler": {"const": "grid"}, "rungs": {"maxItems": 0}}}
    total = {"required": ["objective"], "properties": {"objective": {"enum": ["val_total", "val/total"]}}}
    return {
        "if": {"required": ["search"], "properties": {"search": total}},
        "then": {"properties": {"search": grid}},
    }


def _without_teachers() -> Node:
    """A student without teachers has an architecture and a recipe, and nothing of a loss."""
    recipe = [name for name, path in parameter_names().items() if path.startswith(("recipe.", "student."))]
    return {
        "if": {"required": ["teachers"], "properties": {"teachers": {"maxItems": 0}}},
        "then": {"properties": {"parameters": {"propertyNames": {"enum": recipe}}}},
    }


def as_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(space_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text())
