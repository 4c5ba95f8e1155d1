"""Kill a search in its last stage, the fresh seeds, at random moments: `python -m tests.faults.kill_finalists`.

The trials are over then. Gone on with, the search must train no finished student again and come to the students, bit
for bit, and the trials of a search that nobody disturbed.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.faults.command import run as run_command
from tests.faults.searches import Place, kill, outcome, run_again, wait_for

STAGE = "the best of each arm ("  # what the search says when the stage begins
LONGEST = 40.0  # seconds into the stage


def students(run: Path) -> dict[str, tuple[float, int, str]]:
    """{configuration and seed: (val_ce, steps, SHA-256 of the weights)}."""
    rows = pq.read_table(run / "finalists.parquet").to_pylist()
    return {f"{row['config']}-seed{row['seed']}": (row["val_ce"], row["steps"], row["weights_sha256"]) for row in rows}


def finished(run: Path) -> dict[str, int]:
    """When the students that are trained got their results."""
    return {path.parent.name: path.stat().st_mtime_ns for path in run.glob("finalists/*/result.json")}


def experiment(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Kill the driver `rounds` times while it trains and scores the best of each arm again."""
    place = Place.make(folder, seeds=2)
    generator = random.Random(seed)
    try:
        place.finish("undisturbed")
        expected, trials = students(place.run_folder("undisturbed")), outcome(place.run_folder("undisturbed"))
        run, kills, starts, again = place.run_folder("killed"), 0, 0, 0
        for _ in range(rounds):
            process, starts = place.start("killed"), starts + 1
            before = finished(run)

            def begun(process: Any = process, starts: int = starts) -> bool:
                return process.poll() is not None or place.said("killed").count(STAGE) >= starts

            wait_for(begun, 600, "the last stage")
            time.sleep(generator.uniform(0.0, LONGEST))
            if process.poll() is not None:
                break
            kills += kill(process.pid)
            process.wait()
            now = finished(run)
            again += sum(now[name] != when for name, when in before.items())
            print(f"kill {kills}/{rounds}, {len(now)} students were there", flush=True)
        before = finished(run)
        place.finish("killed")
        again += sum(finished(run)[name] != when for name, when in before.items())
        return {
            "kills": kills,
            "students": len(expected),
            "students_identical": students(run) == expected,
            "students_trained_again": again,
            "trials_identical": outcome(run) == trials,
            "finished_run_again": len(run_again(run)),
        }
    finally:
        place.kill_all()


def good(result: dict[str, Any]) -> bool:
    """Whether nothing was lost."""
    lost = result["students_trained_again"] or result["finished_run_again"]
    return bool(result["kills"] and result["students_identical"] and result["trials_identical"] and not lost)


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good, rounds=6, seed=0))
