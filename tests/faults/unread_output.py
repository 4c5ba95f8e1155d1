"""Output that nobody reads: `python -m tests.faults.unread_output`.

A search writes to a pipe whose reader leaves after a line (`| head -1`), to a terminal that is closed, and to a log on
a full disk. Printing must never end work: each comes to the result of an undisturbed search.
"""

from __future__ import annotations

import contextlib
import os
import pty
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import Place, outcome, undisturbed


@contextlib.contextmanager
def left_pipe(folder: Path) -> Iterator[Path]:
    """A pipe whose reader leaves after the first line."""
    path = folder / "pipe"
    os.mkfifo(path)

    def read() -> None:
        with path.open("rb") as file:
            file.readline()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    yield path
    reader.join()


@contextlib.contextmanager
def closed_terminal(folder: Path) -> Iterator[Path]:
    """A terminal whose other end is closed once somebody writes to it."""
    ours, theirs = pty.openpty()
    path = Path(os.ttyname(theirs))

    def close() -> None:
        os.read(ours, 1)
        os.close(ours)

    reader = threading.Thread(target=close, daemon=True)
    reader.start()
    yield path
    reader.join()
    os.close(theirs)


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A file that takes nothing: "no space left on device"."""
    yield Path("/dev/full")


OUTPUTS = {"pipe": left_pipe, "terminal": closed_terminal, "full": full_disk}


def experiment(folder: Path) -> dict[str, Any]:
    """One search for each kind of output; {kind: return code, or "other result"}."""
    found: dict[str, Any] = {}
    for name, output in OUTPUTS.items():
        place = Place.make(folder / name)
        with output(place.folder) as log:
            code = place.start(name, log=log).wait(timeout=600)
        same = code == 0 and outcome(place.run_folder(name)) == undisturbed()
        found[name] = code if same or code else "other result"
        place.kill_all()
    return found


def good(result: dict[str, Any]) -> bool:
    """Whether every search ended well with the result of an undisturbed one."""
    return set(result) == set(OUTPUTS) and all(code == 0 for code in result.values())


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
