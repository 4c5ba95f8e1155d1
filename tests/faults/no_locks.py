"""A storage without file locks: `python -m tests.faults.no_locks`.

In place of a file system that has none, every process of a search gets "function not implemented" for `flock`. The
search must end as an undisturbed one; and one that finds the lock of another, as a copied folder has it, must say whose
it is, since when, and what to do, instead of waiting in silence.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import REPOSITORY, Place, kill, outcome, undisturbed, wait_for

REFUSE = """\
import errno, fcntl, os

def flock(file, operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

fcntl.flock = flock
"""


def experiment(folder: Path) -> dict[str, Any]:
    """A search without locks; then its folder as if it was copied while a search ran."""
    place = Place.make(folder)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(REFUSE)  # which every interpreter imports
    place.environment["PYTHONPATH"] = f"{folder / 'site'}:{REPOSITORY}"
    process, run = place.start("without"), place.run_folder("without")
    wait_for(lambda: process.poll() is not None or (run / "optuna.journal").exists(), 300, "the search's journal")
    held = sorted(run.glob(".lock*"))
    copies = {path.name: path.read_bytes() for path in held if path.is_file()}
    assert process.wait(timeout=600) == 0, place.said("without")
    same = outcome(run) == undisturbed()
    for name, content in copies.items():
        # of another machine, whose processes nobody here can look at
        (run / name).write_bytes(content.replace(socket.gethostname().encode(), b"elsewhere"))
    again = place.start("without", "--seeds", "1", log=folder / "again.log")
    try:
        wait_for(lambda: again.poll() is not None or "lock" in (folder / "again.log").read_text(), 120, "a word of it")
    finally:
        kill(again.pid)
        again.wait()
        place.kill_all()
    said = [line for line in (folder / "again.log").read_text().splitlines() if "lock" in line]
    return {"identical": same, "locks": sorted(copies), "said": said[:1]}


def good(result: dict[str, Any]) -> bool:
    """Whether the search came to the same, and the copied lock was told of."""
    return bool(result["identical"] and result["said"])


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
