"""Whole files in a bucket and on a shared file system; what a store that is away or a wrong URL says."""

from __future__ import annotations

import pytest

from palenka_tune.errors import UserError
from palenka_tune.storage import remote as module
from palenka_tune.storage.remote import Remote, StorageError


def test_what_is_put_is_got_listed_and_deleted(url, tmp_path):
    remote = Remote.parse(url)
    remote.write("a/b.txt", b"one")
    remote.write_json("a/c/d.json", {"x": 1})
    assert remote.read("a/b.txt") == b"one"
    assert remote.read_json("a/c/d.json") == {"x": 1}
    assert {key: size for key, (size, _) in remote.keys("a").items()} == {"a/b.txt": 3, "a/c/d.json": 13}
    assert remote.folders() == ["a"]
    assert remote.stamp("a/b.txt")[0] == 3
    remote.write("a/b.txt", b"longer")
    assert remote.read("a/b.txt") == b"longer"
    remote.delete("a/b.txt")
    assert remote.read("a/b.txt") is None
    remote.delete_folder("a")
    assert remote.keys() == {}


def test_a_large_file_goes_there_and_back(url, tmp_path):
    remote = Remote.parse(url)
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 150_000)  # more than two chunks
    remote.upload(source, "big/file")
    assert remote.download("big/file", tmp_path / "copies" / "file")
    assert (tmp_path / "copies" / "file").read_bytes() == source.read_bytes()
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["file"]


def test_nothing_is_none_and_no_error(url, tmp_path):
    remote = Remote.parse(url)
    assert remote.read("no/such") is None
    assert remote.read_json("no/such") is None
    assert remote.stamp("no/such") is None
    assert remote.keys("no") == {}
    assert not remote.download("no/such", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    remote.delete("no/such")
    remote.delete_folder("no")


def test_a_damaged_note_says_which(url):
    remote = Remote.parse(url)
    remote.write("note.json", b'{"a": ')
    with pytest.raises(StorageError, match=r"note\.json is damaged"):
        remote.read_json("note.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s4://bucket/x", "give a folder, s3://bucket/folder"),
        ("s3://bucket", "give a folder, s3://bucket/folder"),
        ("s3:///x", "give a folder, s3://bucket/folder"),
        ("s3://key:secret@bucket/x", "with credentials or options in it"),
        ("s3://bucket/x?endpoint_override=a", "with credentials or options in it"),
    ],
)
def test_a_url_that_cannot_work_is_refused(text, says):
    with pytest.raises(UserError, match="--storage") as refused:
        Remote.parse(text)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_bucket_that_is_not_there_is_refused_at_once(s3, monkeypatch):
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    module._open.cache_clear()
    with pytest.raises(UserError, match="s3://nobucket/x cannot be used"):
        Remote.parse("s3://nobucket/x").check()


def test_a_store_that_is_away_is_asked_again(url, monkeypatch):
    remote = Remote.parse(url)
    remote.write("a", b"1")
    tries = []

    def away() -> bytes:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("AWS Error NETWORK_CONNECTION")
        return b"1"

    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    assert remote._patiently(away) == b"1"
    assert len(tries) == 3
    with pytest.raises(StorageError, match="cannot be used"):
        remote._patiently(lambda: (_ for _ in ()).throw(OSError("away")), patience=0.0)
