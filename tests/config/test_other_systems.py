"""What Windows and macOS do otherwise: separators, folders that cannot be opened, signals, missing calls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path, PureWindowsPath

import pytest

from palenka_tune.cluster import processes
from palenka_tune.config import files
from palenka_tune.config.files import is_path, read_json, write_json, write_text
from palenka_tune.config.sealed import Slate, read_sealed, write_sealed
from palenka_tune.config.shell import command_line
from palenka_tune.errors import UserError
from palenka_tune.runs.journal import SealedJournal
from palenka_tune.spaces.experiment import TeacherSettings
from palenka_tune.spaces.resolve import resolve
from palenka_tune.status import files as run_files
from palenka_tune.storage import lease
from palenka_tune.tracking.hf_model import _link
from palenka_tune.tracking.store import ui_command

WINDOWS_FOLDER = str(PureWindowsPath("C:/models") / "mine")


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.parametrize("text", ["a/b", WINDOWS_FOLDER, "..\\spaces\\mine", ".", "./x", "~\\x", "~"])
def test_paths_of_any_system_are_paths(text):
    assert is_path(text)


@pytest.mark.parametrize("text", ["dskd", "GPT2-705M@tiny", "poster_grid", "owner-name"])
def test_names_are_no_paths(text):
    assert not is_path(text)


def test_a_windows_path_is_no_name():
    assert TeacherSettings(WINDOWS_FOLDER).is_folder
    with pytest.raises(UserError, match=r"C:\\spaces\\mine does not exist"):  # and not: no search space of that name
        resolve("C:\\spaces\\mine")


def test_files_are_written_where_no_folder_can_be_opened(tmp_path, monkeypatch):
    real = os.open

    def refuse(path, flags, *mode, **more):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(files.os, "open", refuse)
    write_json(tmp_path / "x.json", {"a": 1})
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_lines_end_alike_everywhere(tmp_path, monkeypatch):
    real = Path.write_text

    def as_on_windows(path, text, encoding=None, errors=None, newline=None):
        return real(path, text, encoding, errors, newline or "\r\n")

    monkeypatch.setattr(Path, "write_text", as_on_windows)
    write_text(tmp_path / "x", "a\nb\n")
    assert (tmp_path / "x").read_bytes() == b"a\nb\n"
    write_sealed(tmp_path / "sealed", {"a": 1})
    assert read_sealed(tmp_path / "sealed")["a"] == 1


def test_records_need_no_pwrite(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pwrite")
    slate = Slate(tmp_path / "slate")
    for step in (100000, 7):
        slate.write({"step": step})
        assert slate.read()["step"] == step
    journal = SealedJournal(tmp_path / "journal", lambda: None)
    journal.append_logs([{"op_code": 0}])
    journal.append_logs([{"op_code": 1}])
    assert [log["op_code"] for log in SealedJournal(tmp_path / "journal", lambda: None).read_logs(0)] == [0, 1]


def test_nobody_is_asked_by_a_signal_that_would_end_it(windows, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *args: pytest.fail("on Windows 0 is Ctrl-C"))
    assert lease.is_alive(os.getpid())
    assert lease.is_alive(10**9)  # it cannot be seen, so nothing of it is taken away


def test_a_lock_on_another_machine_cannot_be_seen_but_by_linux(tmp_path, monkeypatch):
    (tmp_path / "lock").touch()
    for system in ("win32", "darwin"):
        monkeypatch.setattr(sys, "platform", system)
        assert run_files.lock_holder(tmp_path / "lock", 1, "elsewhere") is None


def test_commands_are_quoted_for_the_shell_at_hand(windows):
    assert command_line(["python", "-m", "x", "C:\\my runs"]) == 'python -m x "C:\\my runs"'
    assert "--backend-store-uri %MLFLOW_TRACKING_URI% " in ui_command("postgresql://me:secret@host/db", Path("runs"))


def test_weights_are_copied_where_nobody_may_link(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"weights")

    def refuse(*args, **more):
        raise OSError(1314, "a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    _link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"weights"


@pytest.fixture
def sleeper():
    """Starts a process that calls itself as it is told."""
    started = []

    def start(name: str) -> subprocess.Popen:
        started.append(subprocess.Popen([name, "60"], executable="/bin/sleep"))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="asks ps")
@pytest.mark.parametrize("proc", [True, False], ids=["linux", "macos"])
def test_only_rays_processes_are_ended(sleeper, monkeypatch, proc):
    real = Path.exists
    if not proc:
        monkeypatch.setattr(Path, "exists", lambda path: str(path) != "/proc/self" and real(path))
    rays, other = sleeper("ray::StudentTrial"), sleeper("sleep")
    while "60" not in processes._command_line(rays.pid) or "60" not in processes._command_line(other.pid):
        time.sleep(0.05)
    for process in (rays, other):
        processes._kill(process.pid)
    assert rays.wait(10) == -9
    assert other.poll() is None
    processes._kill(rays.pid)  # gone by now


def test_windows_says_that_it_cannot_tell_processes_apart(windows):
    with pytest.raises(OSError, match="end it by hand"):
        processes._kill(os.getpid())
