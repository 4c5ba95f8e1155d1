"""A disk that fills up in the middle of a search: `python -m tests.faults.full_disk` (needs the right to mount).

The storage is a tmpfs. Once the second trial trains, a file takes all the space that is left; the search must say so,
keep everything whole, and go on to the result of an undisturbed search when the file is gone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palenka_tune.config.sealed import unseal
from palenka_tune.distill.loop import load_checkpoint
from tests.faults.command import run as run_command
from tests.faults.mlflow_outage import ended
from tests.faults.searches import Place, outcome, run_again, undisturbed, wait_for

SIZE = "512m"
FULL_SECONDS = 8.0  # how long the disk stays full


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs mounted on `folder`; raises `PermissionError` where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise PermissionError(f"cannot mount a tmpfs ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the space that is left."""
    path = folder / "filler"
    path.touch()
    with contextlib.suppress(OSError), path.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return path


def torn(run: Path) -> list[str]:
    """Files of a run folder that are not whole."""
    bad = []
    for path in (run / "checkpoints").glob("*.pt"):
        try:
            load_checkpoint(path)
        except Exception:  # whatever it is that makes the file unreadable
            bad.append(path.name)
    crc = 0
    for line in (run / "optuna.journal").read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or unseal(line[:-1], crc) is None:
            bad.append("optuna.journal")
            break
        crc = int(line[-11:-3], 16)
    for line in (run / "mlflow.spool.jsonl").read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or unseal(line[:-1]) is None:
            bad.append("mlflow.spool.jsonl")
            break
    return bad


def experiment(folder: Path) -> dict[str, Any]:
    """One search whose disk is full for a while, beside an undisturbed one."""
    with small_disk(folder / "disk") as disk:
        small = Place.make(disk / "place")
        run, process = small.run_folder("full"), small.start("full", log=folder / "full.log")
        log = folder / "full.log"
        try:
            wait_for(lambda: process.poll() is not None or ended(run) >= 1, 300, "the end of the first trial")
            filler = fill(disk)
            wait_for(lambda: "the disk of" in log.read_text(), 120, "the message that the disk is full")
            time.sleep(FULL_SECONDS)
            alive, free, bad = process.poll() is None, os.statvfs(disk).f_bavail, torn(run)
            trials_then = ended(run)
            filler.unlink()
            code = process.wait(timeout=600)
            said = [line for line in log.read_text().splitlines() if "the disk of" in line or "space again" in line]
            assert code == 0, log.read_text()
            return {
                "message": said[:1],
                "free_blocks": free,
                "waited": alive,
                "torn_files": bad,
                "trials_ended_when_full": trials_then,
                "identical": outcome(run) == undisturbed(),
                "finished_run_again": len(run_again(run)),
            }
        finally:
            small.kill_all()


def good(result: dict[str, Any]) -> bool:
    """Whether it waited with a message, tore nothing and came to the same end."""
    lost = result["torn_files"] or result["finished_run_again"]
    return bool(result["message"] and result["waited"] and result["identical"] and not lost)


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
