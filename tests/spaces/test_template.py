"""The search space that `init` writes: the default one, whole or with every setting in it written out."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
import yaml

from palenka_tune.config.build import leaf_paths, load_yaml
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.schema import space_schema
from palenka_tune.spaces.template import allowed, space_text


def written_out(text: str) -> str:
    """With the # taken away from every setting."""
    return re.sub(r"^(\s*)#(?=\S)", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize("scale", ["tiny", "small", "poster"])
@pytest.mark.parametrize("whole", [False, True], ids=["as written", "written out"])
def test_it_is_the_default_space(tmp_path, scale, whole):
    config = resolve("dskd", options={"scale": scale})
    text = space_text(config, "dskd", "a command")
    file = tmp_path / "mine.yaml"
    file.write_text(written_out(text) if whole else text, encoding="utf-8")
    mine = resolve(str(file))
    assert mine.tree() == config.tree()
    assert (mine.space, mine.search) == (config.space, config.search)
    jsonschema.validate(json.loads(json.dumps(load_yaml(file))), space_schema())


def test_every_setting_stands_in_it_with_what_it_may_be():
    lines = space_text(resolve("dskd"), "dskd", "a command").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=search_space.schema.json"
    assert max(map(len, lines)) <= 120
    settings = [line for line in lines if re.match(r"\s*#?[a-z_0-9]+: ", line) and "{" not in line.partition("#")[0]]
    names = {re.match(r"\s*#?([a-z_0-9]+)", line)[1] for line in settings}
    wanted = {path.rpartition(".")[2] for path in leaf_paths(Experiment)} - {"teachers"}
    assert wanted <= names
    for line in settings:
        if not line.startswith("description"):
            assert re.search(r"  # \S", line), line


def test_a_scale_can_be_changed_in_it(tmp_path):
    """What the scale gives is not written out, so that it follows."""
    file = tmp_path / "mine.yaml"
    text = space_text(resolve("dskd"), "dskd", "a command")
    file.write_text(re.sub("^scale: tiny", "scale: small", text, flags=re.MULTILINE), encoding="utf-8")
    assert resolve(str(file)).tree() == resolve("dskd", options={"scale": "small"}).tree()


def test_paths_are_kept_as_they_are():
    config = resolve("dskd", options={"data.source": "C:\\data: mine # first"})
    assert yaml.safe_load(space_text(config, "dskd", "a command"))["data"]["source"] == "C:\\data: mine # first"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"enum": ["a", "b"]}, "a | b"),
        ({"type": "integer", "minimum": 1, "maximum": 64}, "a whole number, from 1 to 64"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "a number, 0 or more and below 1"),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}, "a number, above 0, or null"),
    ],
)
def test_limits_in_words(node, words):
    assert allowed(node) == words
