"""The published schema says what `resolve` says, as far as a JSON Schema can: every shipped space passes, every bad
input of the other tests is refused, and each limit lies where the settings themselves have it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest
import yaml

from palenka_tune.config.build import build, leaf_types, load_yaml
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.errors import UserError
from palenka_tune.spaces import schema
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.spaces.resolve import resolve, shipped_spaces
from palenka_tune.spaces.samplers import SAMPLERS
from palenka_tune.spaces.space import KINDS
from tests.spaces.test_resolve import BAD_FILES
from tests.spaces.test_space import BAD_SPACES, CONDITIONAL

FOLDER = Path(__file__).parents[2] / "search_spaces"
SCHEMA = schema.space_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# what a JSON Schema cannot say, by a part of the message with which `resolve` refuses it
CANNOT_SAY = {
    "needs equal widths": "compares the widths of two presets, which are not in the file",
    "hidden states 0 to 4 and the student 0 to 4": "a map is held against the depths of presets",
    "hidden states are 128 wide": "a rank is held against the width of a preset",
    "3 values for 2 teachers": "the scale may give the teachers, which are then not in the file",
    "is not a folder": "asks the disk",
    "turned around": "compares two entries of a list",
    "which is not searched": "compares a name inside one parameter with the keys beside it",
    "not among its choices": "compares the values of two parameters",
    "form a circle": "follows names from parameter to parameter",
}


def as_an_editor_reads(tree) -> object:
    """Keys of mappings are text in JSON, also those of a layer map."""
    return json.loads(json.dumps(tree))


def accepts(tree) -> bool:
    return VALIDATOR.is_valid(as_an_editor_reads(tree))


def cannot_say(message: str) -> bool:
    return any(part in message for part in CANNOT_SAY)


def test_the_published_file_is_what_the_settings_say():
    published = (FOLDER / "schema.json").read_text(encoding="utf-8")
    assert published == schema.as_text(), "python -m palenka_tune.spaces.schema > search_spaces/schema.json"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", shipped_spaces(), ids=lambda path: path.stem)
def test_every_shipped_space_is_accepted_and_names_its_schema(path):
    VALIDATOR.validate(as_an_editor_reads(load_yaml(path)))
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=schema.json"
    assert (path.parent / "schema.json").exists()


@pytest.mark.parametrize("scale", ["tiny", "small", "poster"])
@pytest.mark.parametrize("space", [path.stem for path in shipped_spaces()])
def test_the_resolved_configuration_of_a_run_is_accepted(space, scale):
    VALIDATOR.validate(as_an_editor_reads(resolve(space, options={"scale": scale}).tree()))


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"parameters": None, "data": None, "description": None, "scale": None},
        {"parameters": CONDITIONAL},
        {"teachers": ["GPT2-705M@tiny", "./mine", "C:\\models\\mine", {"preset": "Llama-tiny", "recipe": None}]},
        {"distill": {"projection": None}},
        {"distill": {"projection": {"layer_map": {0: 0, 4: 4}}}},
        {"distill": {"projection": {"layer_map": [{0: 0}, {4: 4}]}}},
        {"distill": {"projection": {"layer_map": "every:2"}}},
        {"parameters": {"layer_map": {"choice": ["last", {4: 4}]}, "temperature": {"int": [1, 4]}}},
        {"parameters": {"ce_weight": {"choice": [0, 1]}}},
        {"search": {"sampler": "grid"}, "parameters": {"rank": {"choice": [1, None]}}},
        {"search": {"sampler": "grid", "rungs": [], "objective": "val_total"}},
        {"search": {"sampler": "grid", "rungs": [], "objective": "val/total"}},  # as older files spell it
        {"search": {"objective": "val/ce"}},
    ],
)
def test_what_may_be_written_is_accepted(tmp_path, tree):
    VALIDATOR.validate(as_an_editor_reads(tree))
    if "teachers" in tree or "int" in str(tree):  # folders that are not here, corners that this student has not
        return
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(tree))
    assert resolve(str(file))


@pytest.mark.parametrize(("tree", "message"), BAD_FILES, ids=[message[:40] for _, message in BAD_FILES])
def test_bad_files_are_refused(tree, message):
    tree = {"parameters": {"beta": {"log_uniform": [1, 10]}}, **tree}  # as tests/spaces/test_resolve.py writes them
    assert accepts(tree) == cannot_say(message)


@pytest.mark.parametrize(("raw", "message"), BAD_SPACES, ids=[message[:40] for _, message in BAD_SPACES])
def test_bad_spaces_are_refused(raw, message):
    assert accepts({"parameters": raw}) == cannot_say(message)


@pytest.mark.parametrize(
    "tree",
    [
        [],
        None,
        {"data": {"sorce": "x"}},
        {"data": {"source": " "}},
        {"data": {"source": 3}},
        {"student": {"presets": "Student-tiny"}},
        {"student": {"train_windows": 0}},
        {"student": {"train_windows": 1.5}},
        {"student": {"offsets": 65}},
        {"teachers": None},
        {"teachers": [{"recipe": {}}]},
        {"teachers": [{"preset": "GPT2-tiny", "sed": 1}]},
        {"teachers": ["GPT2-705M@tny"]},
        {"recipe": {"beta2": 1}},
        {"recipe": {"precision": "float8"}},
        {"cache": {"form": "exact"}},
        {"cache": {"budget_gb": 0}},
        {"distill": {"ce_weight": 0}},
        {"distill": {"teacher_weights": [0, 0]}},
        {"distill": {"hidden_gradient": "never"}},
        {"distill": {"projection": {"layer_map": "uniformly"}}},
        {"distill": {"projection": {"layer_map": "every:0"}}},
        {"distill": {"projection": {"layer_map": {}}}},
        {"distill": {"projection": {"layer_map": {"last": 4}}}},
        {"distill": {"projection": {"normalise": "unit"}}},
        {"search": {"objective": "val_total"}},
        {"search": {"objective": "val/total"}},
        {"search": {"objective": "val_kl"}},
        {"search": {"objective": "val/total", "sampler": "grid", "rungs": 1}},
        {"search": {"divergence": 1}},
        {"search": {"stall_minutes": 0}},
        {"parameters": {"epochs": {"choice": [1, 2]}}},
        {"parameters": {"projection": {"choice": [1, 2]}}},
        {"parameters": {"kind": {"uniform": [0, 1]}}},
        {"parameters": {"kind": {"choice": ["linear", "lineer"]}}},
        {"parameters": {"beta": {"uniform": [0, 1, 2]}}},
        {"parameters": {"beta": {"uniform": ["a", "b"]}}},
        {"parameters": {"beta2": {"uniform": [0.9, 1]}}},
        {"parameters": {"beta": {"choice": [1], "when": {"rnk": 8}}, "rank": {"choice": [8]}}},
        {"parameters": {"beta": {"choice": [1], "when": [8]}}},
    ],
    ids=str,
)
def test_more_that_both_refuse(tmp_path, tree):
    assert not accepts(tree)
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError):
        resolve(str(file))


PROBES = (-1e301, -1, -0.5, 0, 1e-9, 0.5, 1, 1.5, 2, 20, 21, 64, 65, 100, 101, 258, 259, 1000, 1001, 4096, 4097, 8192)
PROBES += (8193, 65536, 65537, 10**6, 10**6 + 1, 2**32 - 1, 2**32, "word", None, True, [], {})
NUMBERS = [
    (cls, name)
    for cls in schema.GROUPS
    for name, kind in leaf_types(cls).items()
    if "." not in name and kind in (int, float, int | None, float | None)
]


@pytest.mark.parametrize(("cls", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_limits_lie_where_the_settings_have_them(cls, name):
    """Every number is held against its dataclass at every edge that any setting has."""
    node = SCHEMA["$defs"][cls.__name__]["properties"][name]
    held = jsonschema.Draft202012Validator({**node, "$defs": SCHEMA["$defs"]})
    required = {"preset": "Student-tiny"} if name != "preset" and "preset" in cls.__dataclass_fields__ else {}
    for value in PROBES:
        if isinstance(value, bool) or (name == "batch_size" and value in (0.5, 1.5)):
            continue  # pydantic takes true for 1, which nobody means
        try:
            build(cls, {**required, name: value}, "x")
            taken = True
        except UserError as error:
            taken = any(
                word in str(error) for word in ("divisible", "even number", "splits a single file")
            )  # of what stands beside it
        assert held.is_valid(value) == taken, (name, value)


def test_every_setting_is_explained():
    silent = [
        f"{cls.__name__}.{name}"
        for cls in schema.GROUPS
        for name in leaf_types(cls)
        if "." not in name and not SCHEMA["$defs"][cls.__name__]["properties"][name].get("description")
    ]
    assert silent == []


def test_every_searchable_setting_has_its_kinds():
    kinds = {
        name: set(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]["properties"]) - {"when"}
        for name, node in SCHEMA["properties"]["parameters"]["properties"].items()
    }
    types = {
        **leaf_types(DistillSettings),
        **leaf_types(Recipe, "recipe."),
        **leaf_types(StudentSettings, "student."),
    }
    assert set(kinds) == set(schema.parameter_names())
    for name, path in schema.parameter_names().items():
        more = {float: {"uniform", "log_uniform"}, int: set(), int | None: set()}.get(types[path])
        assert kinds[name] == {"choice"} | (set() if more is None else {"int", "times"} | more)


def test_infinity_is_refused_as_an_end_of_a_range_alone():
    """JSON has neither infinity nor NaN; elsewhere in the file `resolve` refuses them."""
    assert not VALIDATOR.is_valid({"parameters": {"beta": {"uniform": [0, math.inf]}}})
    assert VALIDATOR.is_valid({"recipe": {"lr": math.inf}})
    with pytest.raises(UserError, match="and finite"):
        Recipe(lr=math.inf)


def test_the_page_on_search_spaces_shows_what_works(tmp_path):
    page = (FOLDER.parent / "docs" / "search_space.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    (space,) = [block for block in blocks if block.startswith("parameters:")]
    file = tmp_path / "space.yaml"
    file.write_text(space, encoding="utf-8")
    VALIDATOR.validate(as_an_editor_reads(load_yaml(file)))
    assert {kind for each in resolve(str(file)).space.to_dict().values() for kind in each} - {"when"} == set(KINDS)

    def listed(heading):
        part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        return {line.split("`")[1] for line in part.splitlines() if line.startswith("| `")}

    assert listed("Sections") == set(SCHEMA["properties"])
    assert listed("Which sampler") == set(SAMPLERS)


def test_no_reason_is_left_over():
    messages = [message for _, message in (*BAD_FILES, *BAD_SPACES)]
    assert [part for part in CANNOT_SAY if not any(part in message for message in messages)] == []
