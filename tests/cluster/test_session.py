"""Ray gets a folder that it can use, or the variable at fault is named, before anything is taken."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from palenka_tune.cluster import session
from palenka_tune.cluster.session import LONGEST, protect, ray_session
from palenka_tune.commands import options
from palenka_tune.commands import search as command
from palenka_tune.errors import PalenkaError, UserError


@pytest.fixture
def short(monkeypatch):
    """A folder with a short name; neither variable is set."""
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.setenv(name, "")  # so that it is what it was after the test
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="p") as folder:
        monkeypatch.setattr(session, "OTHER_FOLDERS", (folder,))
        yield Path(folder)


def faulty(short: Path) -> dict[str, str]:
    """Folders that Ray cannot use, by what is wrong."""
    folders = {"long": short / ("x" * LONGEST), "not ASCII": short / "теми", "space": short / "a b"}
    for folder in folders.values():
        folder.mkdir()
    file = short / "file"
    file.touch()
    return {**{name: str(folder) for name, folder in folders.items()}, "missing": str(short / "none"),
            "a file": str(file), "relative": "tmp", "empty": ""}  # fmt: skip


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("what", ["long", "not ASCII", "space", "missing", "a file", "relative", "empty"])
def test_ray_gets_another_folder_than_one_it_cannot_use(short, monkeypatch, caplog, name, what):
    monkeypatch.setenv(name, faulty(short)[what])
    protect(None)
    assert os.environ["RAY_TMPDIR"] == str(short)
    assert f"Ray's files go into {short}/ray, since it cannot use {name}" in caplog.text
    protect(None)
    assert len(caplog.records) == 1


def test_a_folder_that_ray_can_use_is_left_alone(short, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(short))
    protect(None)
    assert "RAY_TMPDIR" not in os.environ


def test_a_cluster_has_a_folder_of_its_own(short, monkeypatch):
    monkeypatch.setenv("TMPDIR", "x" * 100)
    protect("10.0.0.1:6379")
    assert "RAY_TMPDIR" not in os.environ


def test_the_longest_folder_leaves_room_for_every_socket():
    sockets = "/ray/session_2026-01-31_15-45-01_123456_4194304/sockets/plasma_store"
    assert LONGEST + len(sockets) < 108  # sun_path, with its zero


def test_where_none_will_do_the_variable_is_named_and_nothing_is_taken(short, monkeypatch, capsys):
    bad = faulty(short)
    monkeypatch.setenv("TMPDIR", bad["long"])
    monkeypatch.setattr(session, "OTHER_FOLDERS", (bad["missing"],))
    with pytest.raises(UserError, match=r"Ray cannot use TMPDIR .* characters, .*; set RAY_TMPDIR to"):
        protect(None)
    argv = ["--storage", str(short / "runs"), "--name", "taken"]
    assert options.run(command.cli, argv) == 2
    assert capsys.readouterr().err.startswith("error: Ray cannot use TMPDIR")
    assert not (short / "runs").exists()


@pytest.mark.parametrize(("slow", "tries"), [(1, 2), (3, 3)])
def test_a_start_that_takes_too_long_is_tried_again(monkeypatch, caplog, slow, tries):
    """And what it has started is ended: Ray's own error leaves it."""
    import ray

    started = []

    def init(**options):
        assert options["num_cpus"] == 1
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        if len(started) <= slow:
            raise Exception("The current node timed out during startup. This could happen because ...")

    for name, function in {"init": init, "is_initialized": bool, "nodes": list, "shutdown": bool}.items():
        monkeypatch.setattr(ray, name, function)
    failing = pytest.raises(PalenkaError, match=r"Ray does not start on this machine \(The current node timed out")
    with failing if slow == 3 else contextlib.nullcontext(), ray_session(cpus=1):
        pass
    assert len(started) == tries
    assert "try 2 of 3" in caplog.text
    for process in started[:slow]:
        assert process.wait(10) == -signal.SIGKILL
    for process in started[slow:]:
        process.communicate()
        assert process.returncode == 1  # of its own


def test_a_cluster_that_a_variable_names_is_not_joined_without_a_word(monkeypatch, caplog):
    import ray

    def refuse(**_: object) -> None:
        raise ConnectionError("not here")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    caplog.set_level("INFO")
    for address, said in (("auto", 0), (None, 1)):
        with pytest.raises(PalenkaError), ray_session(address):
            pass
        assert caplog.text.count("--address 10.0.0.1:6379 uses that cluster") == said
