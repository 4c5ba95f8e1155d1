"""What a search and its trials tell each other while a trial is in the middle of its work, through the run folder.

A trial writes how far it is, on which process, and what it waits for; the search writes whether trials are to stop.
Each is one small record, rewritten in place, that also goes through when the disk is full. No Ray in here.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from palenka_tune.config.sealed import Slate


class SearchPulse:
    """The search's word to its trials, in the folder of their checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._slate = Slate(folder / "search.pulse")

    def run(self) -> None:
        """Trials may train."""
        self._slate.write({"stop": False})

    def stop(self) -> None:
        """Trials are to keep what they have and end."""
        self._slate.write({"stop": True})

    @property
    def stopping(self) -> bool:
        return bool((self._slate.read() or {}).get("stop"))


class TrialPulse:
    """A trial's word to the search."""

    def __init__(self, folder: Path, trial_id: str, node: str = "") -> None:
        self._slate = Slate(folder / f"{trial_id}.pulse")
        self._node = node

    def announce(self) -> None:
        """The search will start the trial: makes the file, so that a beat needs no space."""
        self._slate.write({"step": 0, "waits_for": 0, "pid": None, "node": ""})

    def beat(self, step: int, waits_for: int = 0) -> None:
        """The trial is at `step`; `waits_for` are the bytes of free space that it needs before it goes on."""
        where = {"pid": os.getpid(), "node": self._node, "host": socket.gethostname()}
        self._slate.write({"step": step, "waits_for": waits_for, **where})

    def read(self) -> dict[str, Any] | None:
        """`step, waits_for, pid, node, host` as of the last beat."""
        return self._slate.read()

    def last(self) -> int | None:
        """When it beat last, by the file system's clock in nanoseconds."""
        return self._slate.changed()

    def forget(self) -> None:
        """The trial has ended."""
        self._slate.path.unlink(missing_ok=True)
