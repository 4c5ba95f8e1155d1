"""The storage that the doctor marks: a folder, a remote one, one that is closed; and what a node reads of the mark."""

from __future__ import annotations

from pathlib import Path

import pytest

from palenka_tune.doctor import probe
from palenka_tune.doctor.places import storage_probe
from tests.support.s3 import another_node


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "driver"))


@pytest.mark.parametrize("remote", [False, True])
def test_a_node_finds_the_mark_and_nothing_stays(tmp_path, remote):
    shared = tmp_path / "shared"
    with storage_probe(f"file://{shared}" if remote else str(shared)) as mark, another_node(tmp_path / "node"):
        found = probe.examine(mark.storage.path, mark.name)
        assert mark.content is not None
        assert found["marker"] == mark.content
        assert found["storage"]["error"] is None
    assert [path for path in shared.rglob("*") if path.is_file()] == []


def test_another_folder_has_no_mark(tmp_path):
    with storage_probe(str(tmp_path / "shared")) as mark:
        assert probe.examine(str(tmp_path / "other"), mark.name)["marker"] is None
    with storage_probe(f"file://{tmp_path}/shared") as mark:
        elsewhere = mark.name.replace("/shared/", "/other/")
        assert probe.examine(mark.storage.path, elsewhere)["marker"] is None


def test_a_storage_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    for storage in (str(tmp_path / "file"), f"file://{tmp_path}/file"):
        with storage_probe(storage) as mark:
            assert mark.content is None
            assert mark.storage.error
    assert Path(tmp_path / "file").read_text() == ""
