"""Files are whole or absent; artifacts are built once and their damage is found."""

from __future__ import annotations

import os
import stat
import threading

import pytest
import torch
from safetensors.torch import save_file

from palenka_tune.config.artifacts import MANIFEST, build_once, open_artifact
from palenka_tune.config.files import atomic_path, check_writable, fingerprint, is_path, read_json, write_json
from palenka_tune.config.sealed import Slate
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.models.export import copy_export
from palenka_tune.storage.file_lock import held
from palenka_tune.tracking.store import make_database, sqlite_url


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


@pytest.fixture
def for_the_group():
    """The umask of people who share a storage."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_whatever_is_written_has_the_permissions_that_the_umask_gives(tmp_path, for_the_group):
    write_json(tmp_path / "deep" / "a.json", {})
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "config.json").touch(0o600)

    def build(folder):
        (folder / "in").mkdir(mode=0o700)
        save_file({"w": torch.zeros(2)}, folder / "in" / "model.safetensors")
        return {"kind": "test"}

    with atomic_path(tmp_path / "weights.safetensors") as temporary:
        save_file({"w": torch.zeros(2)}, temporary)
    build_once(tmp_path / "artifact", build)
    copy_export(private, tmp_path / "copy")
    copy_export(private, tmp_path / "copy")  # over the earlier one
    Slate(tmp_path / "slate").write({"a": 1})
    with held(tmp_path / "x.lock"):
        pass
    make_database(sqlite_url(tmp_path / "mlflow.db"))
    modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")
             if not path.is_relative_to(private)}  # fmt: skip
    folders = {"deep", "artifact", "artifact/in", "copy"}
    assert {name for name, mode in modes.items() if mode == 0o775} == folders
    assert {name for name, mode in modes.items() if mode != 0o664} == folders
    assert "artifact/in/model.safetensors" in modes


def test_a_folder_of_a_group_stays_one(tmp_path, for_the_group):
    tmp_path.chmod(0o2775)  # what is made in it belongs to its group
    build_once(tmp_path / "artifact", lambda folder: {})
    assert stat.S_IMODE((tmp_path / "artifact").stat().st_mode) == 0o2775
