"""The files of a run, read from any machine that sees them: whether a process works there, what moved when.

Nothing here writes, creates or locks anything. All that `status` reads of a run beside its study and its spool goes
through `RunFiles`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from palenka_tune.cluster.tasks import PROGRESS, RESULT, SCORES
from palenka_tune.config.artifacts import MANIFEST
from palenka_tune.config.files import read_json
from palenka_tune.config.sealed import Slate
from palenka_tune.errors import PalenkaError
from palenka_tune.runs.heartbeat import TrialPulse
from palenka_tune.runs.run_folder import CHECKPOINTS, FINALISTS, JOURNAL, LOCK, OWNER
from palenka_tune.runs.summary import EVALUATION, SUMMARY
from palenka_tune.runs.tables import TRIALS
from palenka_tune.storage import mirror
from palenka_tune.storage.snapshot import Snapshot
from palenka_tune.tracking.spool import SPOOL
from palenka_tune.words import plural


@dataclass(frozen=True)
class Writer:
    """The process that works in a run folder, or did last. `holds` is whether it holds the folder's lock: None if that
    cannot be seen from this machine."""

    pid: int | None
    host: str | None
    holds: bool | None

    def describe(self) -> str:
        return "no process" if self.pid is None else f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Pulse:
    """The last pulse of a trial: how far it is, how fast and where; `age` is in seconds. `gpu_bytes` are the most that
    its process has taken of its GPU, `gpu_total` what that has."""

    step: int
    waits_for: int
    pid: int | None
    node: str
    host: str
    age: float
    time: float
    tokens_per_second: float | None = None
    gpu_bytes: int | None = None
    gpu_total: int | None = None


@dataclass(frozen=True)
class Work:
    """Something else that is under way: a teacher, a cache, a finalist. `age` is seconds since it moved, `done` the
    part of a finalist's steps that are done."""

    name: str
    progress: str
    age: float
    done: float = 0.0


class RunFiles:
    """The files of the run in `folder` and of what is built for it in `storage`; `snapshot` made the folder, if it is
    a copy of one in a remote storage."""

    def __init__(self, folder: Path, storage: Path, snapshot: Snapshot | None = None) -> None:
        self.folder, self.storage, self.snapshot = folder, storage, snapshot
        self._pulses: dict[str, TrialPulse] = {}

    def writer(self) -> Writer:
        """The process that works here, or did last."""
        owner = Slate(self.folder / OWNER).read()
        if owner is None:
            return Writer(None, None, None if (self.folder / LOCK).exists() else False)
        pid, host = int(owner["pid"]), str(owner["host"])
        if self.snapshot is not None:
            return Writer(pid, host, self.snapshot.is_held)
        return Writer(pid, host, _holds_lock(self.folder / LOCK, pid, host))

    def began(self) -> float | None:
        """When the last process began to work here."""
        return _changed(self.folder / OWNER)

    def moved(self) -> float | None:
        """Seconds since any file of the run was last written."""
        names = (JOURNAL, SPOOL, OWNER, SUMMARY, TRIALS, EVALUATION)
        patterns = (f"{CHECKPOINTS}/*", f"{FINALISTS}/*/*")
        paths = [self.folder / name for name in names]
        paths += [path for pattern in patterns for path in self.folder.glob(pattern)]
        newest = _newest(paths)
        return None if newest is None else _age(newest)

    def pulse(self, trial_id: str) -> Pulse | None:
        """The last pulse of a running trial."""
        pulse = self._pulses.setdefault(trial_id, TrialPulse(self.folder / CHECKPOINTS, trial_id))
        state, at = pulse.read(), _changed(self.folder / CHECKPOINTS / f"{trial_id}.pulse")
        if state is None or at is None:
            return None
        if mirror.remote_of(self.folder) is not None:  # a trial of another node writes no file here
            at = max(at, state["at"] / 1e9)
        return Pulse(
            step=state["step"],
            waits_for=state["waits_for"],
            pid=state["pid"],
            node=state.get("node") or "",
            host=state.get("host") or "",
            age=_age(at),
            time=at,
            tokens_per_second=state.get("tokens_per_second"),
            gpu_bytes=state.get("gpu_bytes"),
            gpu_total=state.get("gpu_total"),
        )

    def json(self, name: str) -> Any:
        """A JSON file of the run, or None."""
        try:
            return read_json(self.folder / name)
        except PalenkaError:
            return None

    def finalists(self) -> tuple[int, int, list[Work]]:
        """How many finalists are trained, how many of them scored, and those that are not trained yet."""
        done, scored, others = 0, 0, []
        for folder in sorted((self.folder / FINALISTS).glob("*-seed*")):
            if (folder / RESULT).exists():
                done += 1
                scored += (folder / SCORES).exists()
            elif (newest := _newest(folder.glob("*"))) is not None:
                progress = _text(folder / PROGRESS)
                others.append(Work(folder.name, progress, _age(newest), _part(progress)))
        return done, scored, others

    def preparing(self) -> list[Work]:
        """Teachers and caches under way in the storage, for this run or another one."""
        works = []
        for work in sorted(self.storage.glob("artifacts/teachers/.*.work")):
            if (at := _changed(work / "progress.jsonl")) is not None:
                works.append(Work(f"teacher {work.name[1:-5]}", _teacher(work / "progress.jsonl"), _age(at)))
        for partial in sorted(self.storage.glob("artifacts/caches/.*.partial")):
            if (at := _newest(partial.glob("*"))) is not None and not (partial / MANIFEST).exists():
                shards = sum(1 for _ in partial.glob("[!.]*.arrow"))
                works.append(Work(f"cache {partial.name[1:-8]}", f"{plural(shards, 'shard')}", _age(at)))
        return works

    def free_bytes(self) -> int | None:
        """Free space where the run is kept."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return None


def _holds_lock(path: Path, pid: int, host: str) -> bool | None:
    """Whether the process `pid` on `host` holds the lock file at `path`; None: it cannot be seen.

    Trying to take the lock would tell, and could refuse it to a search that begins at that moment. On the machine of
    the process Linux's list of locks is read instead; on another one the file system is asked, which knows if it
    carries locks over the network (NFS does).
    """
    if host != socket.gethostname():
        return _locked_over_network(path)
    if not psutil.pid_exists(pid):
        return False
    try:
        inode, lines = path.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = [line.replace("-> ", "").split() for line in lines]
    # without the device, which btrfs and overlays name differently here
    return any(parts[4] == str(pid) and parts[5].rpartition(":")[2] == str(inode) for parts in fields if len(parts) > 5)


def _locked_over_network(path: Path) -> bool | None:
    """True if the file system knows of a lock of another machine; where it knows none it may not be told of any."""
    try:
        with path.open("rb") as file:
            asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file, fcntl.F_GETLK, asked)
    except OSError:
        return None
    return True if struct.unpack("hhqqi", answer)[0] != fcntl.F_UNLCK else None


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _newest(paths: Iterable[Path]) -> float | None:
    return max((at for path in paths if (at := _changed(path)) is not None), default=None)


def _age(at: float) -> float:
    """Seconds since `at` by this machine's clock; 0 if another machine's clock is ahead."""
    return max(0.0, time.time() - at)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _part(progress: str) -> float:
    """The part of a student's steps that are done, as its line of progress says (`step 20/100`)."""
    found = re.match(r"step (\d+)/(\d+)", progress)
    return int(found[1]) / int(found[2]) if found else 0.0


def _teacher(path: Path, tail: int = 4096) -> str:
    """The last whole line of a teacher's progress, in words."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - tail))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError):
            record = json.loads(line)
            step = f", step {record['step']} of {record['total_steps']}" if "step" in record else ""
            return f"epoch {record['epoch']} of {record['epochs']}{step}"
    return ""
