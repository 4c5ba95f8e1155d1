"""Two searches with one name, and `--resume` at once after a kill: `python -m tests.faults.two_searches`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.mlflow_outage import ended
from tests.faults.searches import Place, kill, outcome, run_again, undisturbed, wait_for


def experiment(folder: Path) -> dict[str, Any]:
    """Start, start again, kill the first, go on."""
    place = Place.make(folder)
    first, run = place.start("same"), place.run_folder("same")
    try:
        wait_for(lambda: first.poll() is not None or ended(run) >= 1, 300, "the end of the first trial")
        log = folder / "second.log"
        second = place.start("same", log=log).wait(timeout=120)
        kill(first.pid)
        first.wait()
        killed = time.monotonic()
        process = place.start("same")
        wait_for(
            lambda: process.poll() is not None or f"resuming {run}" in place.said("same"), 120, "the resumed search"
        )
        waited = time.monotonic() - killed
        code = process.wait(timeout=600)
        assert code == 0, place.said("same")
        return {
            "second_refused": second == 2,
            "it_said": log.read_text().strip().splitlines()[-1],
            "seconds_until_resumed": round(waited, 1),
            "identical": outcome(run) == undisturbed(),
            "finished_run_again": len(run_again(run)),
        }
    finally:
        place.kill_all()


def good(result: dict[str, Any]) -> bool:
    """Whether the second was refused and the resumed search came to the same end."""
    refused = result["second_refused"] and "is being searched by process" in result["it_said"]
    return refused and result["identical"] and not result["finished_run_again"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
