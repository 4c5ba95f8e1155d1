"""Kill the writer of a teacher cache: `python -m tests.faults.kill_cache_writer [--rounds 5]`.

The cache is built by the same command again and again, each time killed at a random moment, until it is done. It must
hold the bytes of one that nobody disturbed, and pass `cache verify`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import Place, kill, wait_for


def command(place: Place, action: str, name: str) -> Any:
    """Start `cache build` or `cache verify` with the storage `name`."""
    argv = [sys.executable, "-m", "palenka_tune.cache", action]
    if action == "build":
        argv += [str(place.folder / "space.yaml"), "--data", str(place.folder / "data")]
        argv += ["--set", "student.train_windows=null"]
    argv += ["--storage", str(place.folder / name)]
    return place.start_command(argv, place.folder / f"{name}.log")


def digests(place: Place, name: str) -> dict[str, str]:
    """{file: SHA-256} of the finished cache."""
    (path,) = (place.folder / name / "artifacts" / "caches").glob("[!.]*/manifest.json")
    files = json.loads(path.read_text())["files"]
    return {file: entry["sha256"] for file, entry in files.items()}


def experiment(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Build twice, once with kills of the driver and of Ray's workers in turn."""
    generator = random.Random(seed)
    place = Place.make(folder)
    assert command(place, "build", "undisturbed").wait(timeout=900) == 0, (folder / "undisturbed.log").read_text()
    kills, commands = 0, 0
    try:
        while True:
            process, commands = command(place, "build", "killed"), commands + 1
            if kills < rounds:
                _wait_until_it_writes(place, process)
                time.sleep(generator.uniform(0.0, 6.0))
                if process.poll() is None:
                    workers = [pid for pid in place.processes("ray::") if "IDLE" not in place.processes().get(pid, "")]
                    kills += kill(generator.choice(workers) if workers and kills % 2 else process.pid)
            if process.wait(timeout=900) == 0:
                break
            assert commands < 3 * rounds + 3, (folder / "killed.log").read_text()
        verified = command(place, "verify", "killed").wait(timeout=300) == 0
    finally:
        place.kill_all()
    return {
        "kills": kills,
        "commands": commands,
        "identical": digests(place, "killed") == digests(place, "undisturbed"),
        "verified": verified,
    }


def _wait_until_it_writes(place: Place, process: Any) -> None:
    caches = place.folder / "killed" / "artifacts" / "caches"
    wait_for(lambda: process.poll() is not None or any(caches.glob(".*.partial")), 120, "the begin of the writing")


def good(result: dict[str, Any]) -> bool:
    """Whether the cache is the same, byte by byte."""
    return result["kills"] > 0 and result["identical"] and result["verified"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good, rounds=5, seed=0))
