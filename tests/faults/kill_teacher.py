"""Kill a DDP worker of a teacher in the middle of an epoch: `python -m tests.faults.kill_teacher [--rounds 3]`.

A teacher is trained by two workers; one of them is killed between two ends of epochs. The teacher must come out with
the dev cross-entropy of one that nobody disturbed. Ray Train starts the workers again twice; after that the command
says how to go on, and is run again.
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

PRESET, EPOCHS = "GPT2-tiny", 12


def train(place: Place, name: str) -> Any:
    """Start to train the teacher into the storage `name`, or go on with it."""
    argv = [sys.executable, "-m", "palenka_tune.train", PRESET, "--workers", "2", "--data", str(place.folder / "data")]
    argv += ["--storage", str(place.folder / name), "--set", f"epochs={EPOCHS}", "--set", "batch_size=8"]
    argv += ["--set", "data.window=16", "--set", "data.vocabulary=300"]
    return place.start_command(argv, place.folder / f"{name}.log")


def progress(place: Place, name: str) -> list[dict[str, Any]]:
    """What the teacher in training has written."""
    lines: list[dict[str, Any]] = []
    for path in (place.folder / name).rglob("progress.jsonl"):
        lines += [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return lines


def result(place: Place, name: str) -> dict[str, Any]:
    """The manifest of the finished teacher."""
    (path,) = (place.folder / name / "artifacts" / "teachers").glob("[!.]*/manifest.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def experiment(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Train twice, once with kills."""
    generator = random.Random(seed)
    place = Place.make(folder)
    assert train(place, "undisturbed").wait(timeout=900) == 0, (folder / "undisturbed.log").read_text()
    kills, process, starts = 0, train(place, "killed"), 1
    try:
        while process.poll() is None or kills < rounds:
            if process.poll() is not None:
                if process.returncode == 0:
                    break
                process, starts = train(place, "killed"), starts + 1
            if kills < rounds:
                _wait_for_progress(place, process)
                time.sleep(generator.uniform(0.0, 0.5))
                workers = list(place.processes("ray::RayTrainWorker")) or list(place.processes("TrainWorker"))
                kills += bool(workers) and kill(generator.choice(workers))
            time.sleep(0.2)
        while process.wait(timeout=900) != 0:
            process, starts = train(place, "killed"), starts + 1
            assert starts < 3 + rounds, (folder / "killed.log").read_text()
    finally:
        place.kill_all()
    one, two = result(place, "undisturbed"), result(place, "killed")
    return {
        "kills": kills,
        "commands": starts,
        "val_ce": two["val_ce"],
        "difference": abs(two["val_ce"] - one["val_ce"]),
        "epochs_lost": len(one["epochs"]) - len(two["epochs"]),
    }


def _wait_for_progress(place: Place, process: Any) -> None:
    """Until the teacher has written two lines more."""
    known = len(progress(place, "killed"))
    wait_for(lambda: process.poll() is not None or len(progress(place, "killed")) > known + 1, 300, "progress")


def good(result: dict[str, Any]) -> bool:
    """Whether the teacher is the same. Two workers add in another order than one, but these are always two."""
    return result["kills"] > 0 and result["difference"] < 1e-5 and not result["epochs_lost"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good, rounds=3, seed=0))
