"""One holder at a time of a file, for processes that share a file system; `lease` does the same in a remote storage.

The lock is the operating system's (`flock`), which ends with its process. The holder writes its process and machine
into the file, so that one that waits can say for whom. On a file system without locks (Lustre mounted so, NFS without
its lock daemon) a file `NAME.held` takes the lock's place. One that a dead process of this machine left is taken over;
of another machine, or of a storage that was copied with it, nobody can tell. So no wait is silent.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import logging
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from palenka_tune.errors import PalenkaError
from palenka_tune.words import clock

logger = logging.getLogger(__name__)
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
QUIET_SECONDS = 2.0  # a wait that is over by then is not worth a line
SAY_SECONDS = 60.0  # between two lines on the same wait


class FileHeldError(PalenkaError):
    """Another process holds the lock; the message says which process, for how long, and how to go on if it is gone,
    which is in `remedy` alone too."""

    def __init__(self, file: Path) -> None:
        self.remedy = f"if there is no such process, delete {file}"
        super().__init__(f"{_holder(file)}, which holds {file}; {self.remedy}")


@contextlib.contextmanager
def held(path: Path, *, timeout: float = float("inf")) -> Iterator[None]:
    """Hold the file `path`, made in its folder, which exists; a wait for another process is logged.

    Raises `FileHeldError` after `timeout` seconds.
    """
    file, lock = _lock_of(path)
    end, patience = time.monotonic() + timeout, QUIET_SECONDS
    while True:
        try:
            lock.acquire(timeout=max(0.0, min(patience, end - time.monotonic())))
            break
        except Timeout:
            if time.monotonic() >= end:
                raise FileHeldError(file) from None
            logger.info(f"waiting for {FileHeldError(file)}")
            patience = SAY_SECONDS
    try:
        if file == path:
            with contextlib.suppress(OSError):  # a full disk does not matter here
                path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def holder_of(path: Path) -> str | None:
    """Which process holds the file, for how long, and how to go on if it is gone; None if nobody does."""
    try:
        with held(path, timeout=0.0):
            return None
    except FileHeldError as error:
        return str(error)


def _lock_of(path: Path) -> tuple[Path, BaseFileLock]:
    """The lock, and the file that says who has it."""
    if not _has_locks(path.parent):
        file = path.with_name(f"{path.name}.held")
        return file, SoftFileLock(str(file))
    # made here, since the library would make one that the user's group cannot lock
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666))
    return path, FileLock(str(path), mode=stat.S_IMODE(path.stat().st_mode))


@functools.lru_cache(maxsize=64)
def _has_locks(folder: Path) -> bool:
    """Whether the file system of `folder` has file locks; tried on a file that has no name."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in NO_LOCKS
    return True


def _holder(file: Path) -> str:
    """The process that is written in the lock's file."""
    try:
        pid, host = file.read_text(encoding="utf-8").splitlines()[:2]
        return f"process {int(pid)} on {host} (for {clock(max(0.0, time.time() - file.stat().st_mtime))})"
    except (OSError, ValueError):
        return "another process"
