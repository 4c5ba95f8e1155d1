"""One holder of a file at a time, and no wait in silence: with file locks, without, on a storage that was copied."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from palenka_tune.config.artifacts import build_once, lock_file
from palenka_tune.errors import UserError
from palenka_tune.runs import run_folder
from palenka_tune.storage import file_lock
from palenka_tune.storage.file_lock import FileHeldError, held, holder_of

HOLDER = """
import sys; from pathlib import Path; from palenka_tune.storage.file_lock import held
with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()
"""


@pytest.fixture(params=["locks", errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=str)
def storage(request, tmp_path, monkeypatch):
    """A folder on a file system with locks, or on one that says in its own way that it has none."""
    if request.param != "locks":

        def none(file, operation):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", none)
    file_lock._has_locks.cache_clear()
    yield tmp_path
    file_lock._has_locks.cache_clear()


def first_line(logged: list[str]) -> str:
    """Wait until a wait is logged; a thread that an earlier test left may log too."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if lines := [line for line in logged if "waiting for " in line]:
            return lines[0]
        time.sleep(0.01)
    raise AssertionError(f"no wait was logged: {logged}")


def copied(storage):
    """What a copy of a storage brings along: the lock's file of a process on another machine that was at work, or, of
    a system with locks, its empty one."""
    (storage / "x.lock").touch()
    (storage / "x.lock.held").write_text("12\nanother-host\n")
    return storage / "x.lock"


def test_one_holds_it_at_a_time(storage):
    inside, most = [], []

    def work(number: int) -> None:
        with held(storage / "x.lock"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
    assert holder_of(storage / "x.lock") is None


def test_who_is_waited_for_is_said_with_the_way_on(storage, monkeypatch, logged):
    monkeypatch.setattr(file_lock, "QUIET_SECONDS", 0.1)
    holding = held(storage / "x.lock")
    holding.__enter__()
    waiter = threading.Thread(target=lambda: held(storage / "x.lock").__enter__(), daemon=True)
    waiter.start()
    line = first_line(logged)
    holding.__exit__(None, None, None)
    waiter.join()
    file = next(path for path in (storage / "x.lock.held", storage / "x.lock") if f"delete {path}" in line)
    assert line.startswith(f"waiting for process {os.getpid()} on {socket.gethostname()} (for ")
    assert file.name == ("x.lock" if file_lock._has_locks(storage) else "x.lock.held")


def test_a_dead_process_of_this_machine_holds_nothing(storage):
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(storage / "x.lock")], stdin=-1, stdout=-1, text=True)
    assert other.stdout.readline() == "held\n"
    other.kill()
    other.communicate()
    if not file_lock._has_locks(storage):  # what it would have left
        (storage / "x.lock.held").write_text(f"{other.pid}\n{socket.gethostname()}\n")
    with held(storage / "x.lock", timeout=30.0):
        pass


def test_a_copied_lock_does_not_hang_in_silence(storage):
    path = copied(storage)
    if file_lock._has_locks(storage):
        with held(path, timeout=0.0):
            return
    gone = rf"process 12 on another-host .* delete {path}\.held"
    with pytest.raises(FileHeldError, match=gone), held(path, timeout=0.0):
        pass
    (storage / "x.lock.held").unlink()  # what the message says
    with held(path, timeout=0.0):
        pass


def test_an_artifact_and_a_run_say_whom_they_wait_for(tmp_path, monkeypatch, logged):
    monkeypatch.setattr(file_lock, "_has_locks", lambda folder: False)
    monkeypatch.setattr(file_lock, "QUIET_SECONDS", 0.1)
    copied(tmp_path)
    artifact = tmp_path / "artifact"
    marker = lock_file(artifact).with_name(f"{lock_file(artifact).name}.held")
    shutil.copy(tmp_path / "x.lock.held", marker)
    builder = threading.Thread(target=build_once, args=(artifact, lambda folder: {}), daemon=True)
    builder.start()
    first_line(logged)
    assert logged[0].startswith("waiting for process 12 on another-host")
    marker.unlink()
    builder.join()
    assert (artifact / "manifest.json").exists()
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(tmp_path / "x.lock.held", run / f"{run_folder.LOCK}.held")
    with pytest.raises(UserError, match=r"if there is no such process, delete .*\.lock\.held"), run_folder.locked(run):
        pass
