"""Real searches for faults to happen to: started as a user would, killed from outside, gone on with, compared.

The place is a corpus of a few hundred sentences and two untrained teachers; a search has the fixed setting of each arm
and six trials of one arm, of some seconds each. Everything a search starts carries a mark in its environment, by which
it is found again: nothing else on the machine is ever signalled.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from palenka_tune.config.sealed import unseal
from tests.support.small_place import VOCABULARY, WINDOW, make_place

Outcome = dict[str, tuple[str, float, int]]
MARK = "PALENKA_FAULTS"
REPOSITORY = Path(__file__).parents[2]
SAMPLES, STEPS, RECORD_STEPS = 6, 400, 20  # proposed trials; steps of a whole training; steps between two checkpoints
TRIALS = 3 + SAMPLES
SPACE = {
    "description": "a search for faults to happen to",
    "data": {"vocabulary": VOCABULARY, "window": WINDOW},
    "student": {"train_windows": 128, "dev_windows": 32},
    "recipe": {"batch_size": 16, "epochs": STEPS * 16 / 128, "warmup_steps": 2},
    "distill": {"alpha": 0.02},  # the teachers know nothing
    # a checkpoint whenever the loop gives a chance to, every 20 steps
    "search": {
        "samples": SAMPLES,
        "arms": {"hidden": 1},  # four start-up trials, and two that may be paused
        "rungs": [0.25, 0.5],
        "reduction": 2,
        "max_failures": 0,
        "checkpoint_minutes": 1e-6,
        "seeds": 0,
    },
    "parameters": {
        "beta": {"log_uniform": [0.003, 0.3]},
        "recipe.lr": {"log_uniform": [1e-3, 1e-2]},
        "projection.rank": {"choice": [8, None]},
    },
}


@dataclass
class Place:
    """A corpus, two teachers and a search space under `folder`; runs go to `folder/runs`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def make(cls, folder: Path, **search: Any) -> Place:
        """Make it, with some of the space's `search` settings changed."""
        folder.mkdir(parents=True, exist_ok=True)
        teachers = make_place(folder)
        space = {**SPACE, "teachers": teachers, "search": {**SPACE["search"], **search}}  # type: ignore[dict-item]
        (folder / "space.yaml").write_text(yaml.safe_dump(space))
        return cls(folder)

    @property
    def storage(self) -> Path:
        return self.folder / "runs"

    def run_folder(self, name: str) -> Path:
        return self.storage / name

    def start(
        self, name: str, *more: str, log: Path | None = None, before: Sequence[str] = (), concurrent: int | None = 1
    ) -> subprocess.Popen[bytes]:
        """Start the search `name`, or go on with it if it was begun; `before` is a command that starts what follows
        it."""
        resume = ["--resume"] if self.run_folder(name).exists() else []
        argv = [*before, sys.executable, "-m", "palenka_tune.search", str(self.folder / "space.yaml")]
        argv += ["--data", str(self.folder / "data"), "--storage", str(self.storage), "--name", name]
        argv += ["--concurrent", str(concurrent)] if concurrent else []
        argv += ["--minimal-pairs", str(self.folder / "pairs"), *resume, *more]
        return self.start_command(argv, log or self.folder / f"{name}.log")

    def start_command(self, argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start any command in a session of its own, marked; what it says is added to `log`."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RAY_"))}
        environment |= {"OMP_NUM_THREADS": "1", MARK: self.mark, "PYTHONPATH": str(REPOSITORY), **self.environment}
        with log.open("ab") as output:
            return subprocess.Popen(
                argv, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True, cwd=self.folder
            )

    def finish(self, name: str, *more: str) -> None:
        """Run a search to its end; raises `AssertionError` with what it said if it does not get there."""
        process = self.start(name, *more)
        assert process.wait(timeout=600) == 0, self.said(name)

    def said(self, name: str) -> str:
        """What the commands of a search have printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def processes(self, *words: str) -> dict[int, str]:
        """{process id: command line} of all that this place has started and that runs, with all `words` in it."""
        found = {}
        wanted = f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if line and all(word in line for word in words):
                        found[int(entry.name)] = line
            except OSError:
                continue
        return found

    def kill_all(self) -> int:
        """Kill what is left of it, and return how much that was."""
        left = self.processes()
        for pid, line in left.items():
            print(f"left running: {pid} {line[:200]}", flush=True)
            kill(pid)
        return len(left)


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal; False if the process had ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], Any], timeout: float, what: str) -> Any:
    """Wait until `condition` is true and return its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {timeout:g} s"
        time.sleep(0.05)
    return value


def outcome(run: Path) -> Outcome:
    """{trial id: (state, val_ce, steps)} of a search that has ended."""
    rows = pq.read_table(run / "trials.parquet").to_pylist()
    return {row["trial_id"]: (row["state"], row["val_ce"], row["steps"]) for row in rows}


@functools.cache
def undisturbed() -> Outcome:
    """What the search comes to if nothing happens to it; the same in every place, found once for each process."""
    with tempfile.TemporaryDirectory(prefix="palenka_faults-") as folder:
        place = Place.make(Path(folder))
        place.finish("undisturbed")
        return outcome(place.run_folder("undisturbed"))


def events(run: Path) -> Iterator[dict[str, Any]]:
    """What a search has logged, in order, but for lines that were damaged."""
    for line in (run / "mlflow.spool.jsonl").read_bytes().splitlines():
        event = unseal(line)
        if event is not None:
            yield event


def run_again(run: Path) -> list[str]:
    """Trials that were started once more after they had ended."""
    ended: set[str] = set()
    again = []
    for event in events(run):
        key = event.get("key", "")
        if event["op"] == "tags" and event["tags"].get("palenka.state") in ("COMPLETE", "PRUNED", "FAILED"):
            ended.add(key)
        elif event["op"] == "start_run" and key in ended:
            again.append(key)
    return again


def metrics_twice(run: Path) -> int:
    """Metrics that were logged more than once for the same run and step."""
    seen: set[tuple[str, str, int]] = set()
    twice = 0
    for event in events(run):
        if event["op"] == "metrics":
            for name in event["metrics"]:
                point = (event["key"], name, event["step"])
                twice += point in seen
                seen.add(point)
    return twice
