"""The mark in the storage: there while the nodes look for it, and gone afterwards."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest

from palenka_tune.doctor.facts import probe
from palenka_tune.doctor.facts.storage import file_system, marked
from palenka_tune.errors import UserError


def test_the_mark_is_there_and_then_gone(tmp_path):
    with marked(str(tmp_path / "runs")) as mark:
        assert (tmp_path / "runs" / mark.name).read_text() == mark.content
        assert mark.storage.error is None
        assert (mark.storage.path, mark.work) == (str(tmp_path / "runs"), tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_storage_that_cannot_be_written_is_a_fact_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    with marked(str(tmp_path / "file" / "runs")) as mark:
        assert mark.content is None
        assert mark.storage.error == os.strerror(20)  # not a directory


def test_a_bucket_is_marked(tmp_path, monkeypatch):
    pytest.importorskip("moto")
    from tests.support.s3 import s3_server

    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path))
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        from palenka_tune.storage.remote import Remote

        remote = Remote.parse("s3://palenka/runs")
        with marked("s3://palenka/runs") as mark:
            assert remote.read(mark.name) == (mark.content or "").encode()
            assert mark.storage.path == "s3://palenka/runs"
            assert Path(mark.work).is_relative_to(tmp_path)
        assert remote.keys() == {}
        with marked("s3://missing/runs") as mark:
            assert mark.storage.error
            assert mark.content is None


def test_a_node_finds_the_mark_in_a_shared_file_system_given_by_url(tmp_path, monkeypatch):
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "driver"))
    shared = tmp_path / "shared"
    with marked(f"file://{shared}") as mark:
        found = probe.examine(mark.storage.path, str(tmp_path / "node"), mark.name)
        assert (found["marker"], found["storage"]["error"], found["work"]["error"]) == (mark.content, None, None)
        elsewhere = probe.examine(f"file://{tmp_path}/other", str(tmp_path / "node"), mark.name)
        assert elsewhere["marker"] is None
        assert elsewhere["storage"]["error"]
    assert [path for path in shared.rglob("*") if path.is_file()] == []


def test_a_url_that_cannot_work_is_refused():
    with pytest.raises(UserError, match="s3://bucket/folder"), marked("ftp://host/runs"):
        pass


def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(monkeypatch):
    def mount(point: str, kind: str) -> Any:
        return namedtuple("Mount", ["mountpoint", "fstype"])(point, kind)

    mounts = [mount("/", "ext4"), mount("/nfs", "nfs4"), mount("/nfs/runs", "xfs"), mount("/nfs/runs", "tmpfs")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert file_system(Path("/nfs/runs/a")) == "tmpfs"  # mounted over the other one
    assert file_system(Path("/nfs")) == "nfs4"
    assert file_system(Path("/nfs2")) == "ext4"
