"""Two nodes with scratch folders of their own and one storage."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

from palenka_tune.storage import mirror
from palenka_tune.storage.follow import Follower
from tests.support.s3 import another_node


def test_a_folder_is_itself(tmp_path):
    assert mirror.working_folder(tmp_path / "runs") == tmp_path / "runs"
    assert mirror.remote_of(tmp_path / "runs" / "x") is None
    mirror.publish(tmp_path)
    assert not mirror.fetch(tmp_path / "nothing")
    assert mirror.shown(tmp_path) == str(tmp_path)


def test_a_path_says_where_it_belongs(url):
    folder = mirror.working_folder(url)
    remote, key = mirror.remote_of(folder / "runs" / "a.txt")
    assert (remote.url, key) == (url, "runs/a.txt")
    assert mirror.shown(folder / "runs") == f"{url}/runs"


def test_what_one_node_publishes_another_fetches(url, tmp_path):
    here = mirror.working_folder(url)
    for name in ("x/a", "x/b/c"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    mirror.publish(here / "x")
    with another_node(tmp_path / "node2"):
        there = mirror.working_folder(url)
        assert there != here
        assert mirror.exists(there / "x" / "a")
        assert mirror.read(there / "x" / "a") == b"x/a"
        assert not (there / "x").exists()
        assert mirror.fetch(there / "x" / "a")
        mirror.fetch_folder(there / "x", but=("a",))
        assert (there / "x" / "b" / "c").read_text() == "x/b/c"
        mirror.forget(there / "x" / "a")
        assert not mirror.exists(there / "x" / "a")
        mirror.forget_folder(there / "x")
        assert not mirror.exists(there / "x" / "b" / "c")
    assert (here / "x" / "a").exists()  # this node's own copy is its own


def test_a_followed_folder_is_in_step_at_the_end(url, tmp_path):
    run = mirror.working_folder(url) / "run"
    run.mkdir(parents=True)
    with Follower(run, but=("scratch",), seconds=3600) as follower:
        (run / "summary.json").write_text("1")
        (run / "plots").mkdir()
        (run / "plots" / "p.png").write_text("2")
        (run / "scratch").mkdir()
        (run / "scratch" / "x").write_text("3")
        (run / ".half-written").write_text("4")
        follower.follow()
        (run / "plots" / "p.png").unlink()
        (run / "summary.json").write_text("second")
    with another_node(tmp_path / "node2"):
        there = mirror.working_folder(url) / "run"
        mirror.fetch_folder(there)
        assert {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} == {"summary.json"}
        assert (there / "summary.json").read_text() == "second"


def test_what_a_killed_process_had_not_sent_is_sent_by_the_next(url, tmp_path):
    run = mirror.working_folder(url) / "run"
    run.mkdir(parents=True)
    (run / "spool").write_text("not sent yet")
    with Follower(run, seconds=3600):
        pass
    assert mirror.remote_of(run)[0].read("run/spool") == b"not sent yet"


def test_scratch_is_the_users_own(monkeypatch):
    monkeypatch.delenv("PALENKA_SCRATCH", raising=False)
    assert Path(mirror.scratch()).stat().st_mode & 0o077 == 0


def test_a_user_without_a_name_has_a_scratch_folder(tmp_path, monkeypatch):
    """As in a container that runs under any number: nothing in /etc/passwd, no variable."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", mirror.SCRATCH):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mirror._own.cache_clear()
    try:
        assert mirror.scratch() == tmp_path / f"palenka_tune-{os.getuid()}"
    finally:
        mirror._own.cache_clear()
