"""What earlier searches tell of a headroom: those of the same text, student and teachers, the last one first."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from palenka_tune.doctor.checks import CHECKS
from palenka_tune.runs.known_headroom import known_headroom, sentences
from palenka_tune.search.plan_text import plan
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import search_yaml
from palenka_tune.students.headroom import Headroom
from tests.doctor.healthy import facts

FOUND = Headroom((("A", 3.9), ("B", 4.0)), 3.8, 3.81, "logits", 4.25)


def keep(storage, name: str, headroom: Headroom | None, at: int, **options) -> None:
    folder = storage / name
    folder.mkdir()
    config = resolve("dskd", options=options)
    (folder / "search.yaml").write_text(search_yaml(config, "data"))
    (folder / "summary.json").write_text(json.dumps({"headroom": headroom and headroom.to_dict()}))
    os.utime(folder / "summary.json", (at, at))


def test_the_last_search_with_the_same_text_student_and_teachers_tells(tmp_path):
    keep(tmp_path, "first", Headroom((("A", 3.95),), 3.95, 3.95, "logits", 4.25), 1)
    keep(tmp_path, "second", FOUND, 2)
    keep(tmp_path, "without", None, 3)
    keep(tmp_path, "other-text", Headroom((("A", 1.0),), 1.0, 1.0, "logits", 4.25), 4, **{"data.vocabulary": 512})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "summary.json").write_text("{")
    assert known_headroom(resolve("dskd"), tmp_path) == ("second", FOUND)
    # another space, the same students and teachers
    assert known_headroom(resolve("alpha_beta"), tmp_path) == ("second", FOUND)
    assert known_headroom(resolve("dskd", options={"scale": "small"}), tmp_path) is None
    assert yaml.safe_load((tmp_path / "second" / "search.yaml").read_text())["scale"] == "tiny"


def test_a_search_of_a_version_without_a_setting_had_its_default(tmp_path):
    keep(tmp_path, "second", FOUND, 2)
    path = tmp_path / "second" / "search.yaml"
    tree = yaml.safe_load(path.read_text())
    for section, name in (("data", "tokenizer"), ("data", "unit"), ("student", "init")):
        del tree[section][name]
    path.write_text(yaml.safe_dump(tree))
    assert known_headroom(resolve("dskd"), tmp_path) == ("second", FOUND)


def test_what_is_said_before_a_search(tmp_path):
    config = resolve("dskd")
    assert "headroom  not known yet; a search measures it" in plan(config, tmp_path)
    keep(tmp_path, "second", FOUND, 2)
    said = plan(config, tmp_path)
    assert "headroom  as second found: Teachers on dev: A 3.9000, B 4.0000" in said
    assert "Headroom: 0.4500 nats per token below the best student alone (4.2500)" in said
    assert sentences(resolve("teacher"), tmp_path) == (["none: no teachers"], None)
    assert "  teachers  " in said
    assert "  teachers  " not in plan(resolve("teacher"), tmp_path)


@pytest.mark.parametrize(("plain", "state"), [(4.25, "ok"), (3.84, "warning")])
def test_the_doctor_warns_if_there_is_little_to_distil(tmp_path, plain, state):
    keep(tmp_path, "second", FOUND.beside(plain), 2)
    finding = CHECKS["headroom"](facts("dskd", options={"storage": str(tmp_path)}))
    assert finding.state == state
    assert "as second found" in finding.found
    assert ("train the teachers longer" in finding.fix) == (state == "warning")
