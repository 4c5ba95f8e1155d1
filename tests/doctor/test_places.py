"""The mark in the storage: there while the nodes look for it, and gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from palenka_tune.doctor import probe
from palenka_tune.doctor.places import storage_probe
from palenka_tune.errors import UserError


def test_the_mark_is_there_and_then_gone(tmp_path):
    with storage_probe(str(tmp_path / "runs")) as mark:
        assert (tmp_path / "runs" / mark.name).read_text() == mark.content
        assert mark.storage.error is None
        assert (mark.storage.path, mark.work) == (str(tmp_path / "runs"), tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_storage_that_cannot_be_written_is_a_fact_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    with storage_probe(str(tmp_path / "file" / "runs")) as mark:
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
        with storage_probe("s3://palenka/runs") as mark:
            assert remote.read(mark.name) == (mark.content or "").encode()
            assert mark.storage.path == "s3://palenka/runs"
            assert Path(mark.work).is_relative_to(tmp_path)
        assert remote.keys() == {}
        with storage_probe("s3://missing/runs") as mark:
            assert mark.storage.error
            assert mark.content is None


def test_a_node_finds_the_mark_in_a_shared_file_system_given_by_url(tmp_path, monkeypatch):
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "driver"))
    shared = tmp_path / "shared"
    with storage_probe(f"file://{shared}") as mark:
        found = probe.examine(mark.storage.path, str(tmp_path / "node"), mark.name)
        assert (found["marker"], found["storage"]["error"], found["work"]["error"]) == (mark.content, None, None)
        elsewhere = probe.examine(f"file://{tmp_path}/other", str(tmp_path / "node"), mark.name)
        assert elsewhere["marker"] is None
        assert elsewhere["storage"]["error"]
    assert [path for path in shared.rglob("*") if path.is_file()] == []


def test_a_url_that_cannot_work_is_refused():
    with pytest.raises(UserError, match="s3://bucket/folder"), storage_probe("ftp://host/runs"):
        pass
