"""A machine that is paused with all that runs on it: `python -m tests.faults.paused_machine`.

Every process of a search is stopped (SIGSTOP) for longer than `search.stall_minutes` and continued, as a lid that is
closed or `scontrol suspend` does. The search must end no trial for it, and come to the result of an undisturbed one.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import Place, kill, outcome, undisturbed, wait_for

STALL_MINUTES = 0.5
PAUSE_SECONDS = 45.0


def experiment(folder: Path) -> dict[str, Any]:
    """Pause all processes of a search in its second trial."""
    place = Place.make(folder, stall_minutes=STALL_MINUTES)
    process, run = place.start("paused"), place.run_folder("paused")
    kept = run / "checkpoints" / "trial-0001.pt"
    try:
        wait_for(lambda: process.poll() is not None or kept.exists(), 300, "the second trial's first checkpoint")
        paused = list(place.processes())
        for pid in paused:
            kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        for pid in paused:
            kill(pid, signal.SIGCONT)
        assert process.wait(timeout=600) == 0, place.said("paused")
        said = [line for line in place.said("paused").splitlines() if "did not move" in line]
        return {"paused": len(paused), "said": said, "identical": outcome(run) == undisturbed()}
    finally:
        for pid in place.processes():
            kill(pid, signal.SIGCONT)
        place.kill_all()


def good(result: dict[str, Any]) -> bool:
    """Whether no trial was judged for the pause, and the search came to the same."""
    return not result["said"] and result["identical"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
