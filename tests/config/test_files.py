"""Files are whole or absent; artifacts are built once and their damage is found."""

from __future__ import annotations

import threading

import pytest

from palenka_tune.config.artifacts import MANIFEST, build_once, open_artifact
from palenka_tune.config.files import atomic_path, check_writable, fingerprint, is_path, read_json, write_json
from palenka_tune.errors import PalenkaError, UserError


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert read_json(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_torn_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"x":')
    with pytest.raises(PalenkaError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


def test_an_artifact_is_built_once_even_by_several_at_a_time(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        (folder / "data").write_text("content")
        return {"kind": "test"}

    threads = [threading.Thread(target=build_once, args=(tmp_path / "x", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert open_artifact(tmp_path / "x", verify=True)["kind"] == "test"


def test_a_failed_build_leaves_nothing_and_a_folder_without_manifest_is_built_again(tmp_path):
    with pytest.raises(RuntimeError):
        build_once(tmp_path / "x", lambda folder: (_ for _ in ()).throw(RuntimeError))
    assert not (tmp_path / "x").exists()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "left").write_text("from a crash")
    build_once(tmp_path / "x", lambda folder: {"kind": "test"})
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == [MANIFEST]


@pytest.mark.parametrize("damage", ["truncate", "remove", "flip"])
def test_damage_is_found(tmp_path, damage):
    def build(folder):
        (folder / "data").write_text("content")
        return {}

    build_once(tmp_path / "x", build)
    data = tmp_path / "x" / "data"
    if damage == "truncate":
        data.write_text("cont")
    elif damage == "remove":
        data.unlink()
    else:
        data.write_text("contens")
    with pytest.raises(PalenkaError, match="missing or damaged; delete the folder"):
        open_artifact(tmp_path / "x", verify=True)


def test_fingerprints_depend_on_content_alone():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


@pytest.mark.parametrize("text", ["a/b", "/a", "..", ".", "./x", "~/x", "~"])
def test_what_is_written_as_a_path(text):
    assert is_path(text)


@pytest.mark.parametrize("text", ["dskd", "GPT2-705M@tiny", "poster_grid", "owner-name"])
def test_names_are_no_paths(text):
    assert not is_path(text)


def test_storage_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not writable"):
        check_writable(tmp_path / "file" / "runs")
