"""A trial whose process does not move any more: `python -m tests.faults.frozen_trial`.

The process is stopped (SIGSTOP), as a hung driver call or a stuck file system would stop it. The search must end it
after `search.stall_minutes`, go on with the trial from its checkpoint and come to the result of an undisturbed search.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.kill_trial import victim
from tests.faults.searches import Place, kill, outcome, run_again, undisturbed, wait_for

STALL_MINUTES = 0.25


def experiment(folder: Path) -> dict[str, Any]:
    """Freeze one trial of a search."""
    place = Place.make(folder, stall_minutes=STALL_MINUTES, max_failures=1)
    process, run = place.start("frozen"), place.run_folder("frozen")
    kept = run / "checkpoints" / "trial-0001.pt"
    try:
        wait_for(lambda: process.poll() is not None or kept.exists(), 300, "the second trial's first checkpoint")
        (pid,) = victim(place, process.pid)
        kill(pid, signal.SIGSTOP)
        assert process.wait(timeout=600) == 0, place.said("frozen")
        said = [line for line in place.said("frozen").splitlines() if "did not move" in line]
        return {
            "said": said,
            "identical": outcome(run) == undisturbed(),
            "finished_run_again": len(run_again(run)),
        }
    finally:
        place.kill_all()


def good(result: dict[str, Any]) -> bool:
    """Whether the trial was ended once and nothing was lost."""
    return len(result["said"]) == 1 and result["identical"] and not result["finished_run_again"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
