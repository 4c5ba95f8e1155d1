"""Heartbeats: what a search and its running trials tell each other, through files of the run folder.

A trial writes how far it is, on which process, and what it waits for; the search writes whether trials are to stop.
Each is one small record, rewritten in place, so that it can be written on a full disk too. In a remote storage a record
is exchanged every few seconds, and a store that is away for a while delays neither side. No Ray in here.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palenka_tune.config.sealed import Slate, seal, unseal
from palenka_tune.storage import mirror
from palenka_tune.storage.remote import StorageError

EXCHANGE_SECONDS = 5.0


class _Record:
    """A slate that processes on other nodes read too; `at` in it says when it was written, by the writer's clock."""

    def __init__(self, path: Path) -> None:
        self.slate = Slate(path)
        self._remote = mirror.remote_of(path)
        self._sent = self._asked = -math.inf
        self._remote_record: dict[str, Any] | None = None

    def write(self, record: Mapping[str, Any], *, at_once: bool = False) -> None:
        record = {**record, "at": time.time_ns()}
        self.slate.write(record)
        if self._remote is not None and (at_once or time.monotonic() - self._sent >= EXCHANGE_SECONDS):
            self._sent = time.monotonic()
            with contextlib.suppress(StorageError):
                self._remote[0].write(self._remote[1], seal(record), patience=0.0)

    def read(self) -> dict[str, Any] | None:
        here = self.slate.read()
        if self._remote is not None and time.monotonic() - self._asked >= EXCHANGE_SECONDS:
            self._asked = time.monotonic()
            with contextlib.suppress(StorageError):
                self._remote_record = unseal(self._remote[0].read(self._remote[1], patience=0.0) or b"")
        records = [record for record in (here, self._remote_record) if record]
        return max(records, key=lambda record: record.get("at", 0), default=None)


class SearchPulse:
    """What the search tells its trials, in the folder of their checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._record = _Record(folder / "search.pulse")

    def run(self) -> None:
        """Trials may train."""
        self._record.write({"stop": False}, at_once=True)

    def stop(self) -> None:
        """Trials are to save what they have and end."""
        self._record.write({"stop": True}, at_once=True)

    @property
    def stopping(self) -> bool:
        return bool((self._record.read() or {}).get("stop"))


class TrialPulse:
    """What a trial tells the search."""

    def __init__(self, folder: Path, trial_id: str, node: str = "") -> None:
        self._path = folder / f"{trial_id}.pulse"
        self._record = _Record(self._path)
        self._node = node

    def announce(self) -> None:
        """Make the file before the search starts the trial, so that a beat needs no space."""
        self._record.write({"step": 0, "waits_for": 0, "pid": None, "node": ""}, at_once=True)

    def beat(self, step: int, waits_for: int = 0, **speed: float) -> None:
        """The trial is at `step`; `waits_for` are the bytes of free space that it needs to continue, `speed` its
        `tokens_per_second` and, on a GPU, the most bytes that it took and those in all (`gpu_bytes`, `gpu_total`).
        """
        where = {"pid": os.getpid(), "node": self._node, "host": socket.gethostname()}
        self._record.write({"step": step, "waits_for": waits_for, **speed, **where})

    def read(self) -> dict[str, Any] | None:
        """`step, waits_for, pid, node, host` as of the last beat."""
        return self._record.read()

    def last(self) -> int | None:
        """When the last beat was written, in nanoseconds of the trial's clock."""
        return (self.read() or {}).get("at")

    def forget(self) -> None:
        """The trial has ended."""
        mirror.forget(self._path)
