"""A real MLflow server that is gone for the whole middle of a search: `python -m tests.faults.mlflow_outage`.

The server is killed when the first trial runs and started again once four trials have ended. Every metric must then be
in it, once, and every run must have ended in its right state.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from palenka_tune.runs.study import open_study
from palenka_tune.trials.rows import TrialRow, own_trials
from tests.faults.command import run as run_command
from tests.faults.searches import Place, events, kill, outcome, wait_for

# promises of `compare`
BROKEN = ("metrics_missing", "metrics_twice", "metrics_off_the_study", "runs_in_wrong_state", "runs_twice")
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}


class Server:
    """`mlflow server` on a free port of loopback, with SQLite under `folder`."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        argv += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--workers", "1"]
        argv += ["--artifacts-destination", str(self.folder / "artifacts")]
        self.process = self.place.start_command(argv, self.folder / "server.log")
        wait_for(self._answers, 120, "the start of the MLflow server")

    def pids(self) -> list[int]:
        """Its process and those that it started."""
        mine = [*self.place.processes("-m mlflow server"), *self.place.processes("mlflow.server")]
        return sorted({*mine, *([self.process.pid] if self.process else [])})

    def kill(self) -> None:
        """Kill it with everything it started."""
        for pid in self.pids():
            kill(pid)
        if self.process:
            self.process.wait()
        wait_for(lambda: not self._answers(), 30, "the end of the MLflow server")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except (URLError, OSError):
            return False


def begun(run: Path) -> bool:
    """Whether the first trial of a search has begun."""
    if not (run / "mlflow.spool.jsonl").exists():
        return False
    return any(event["op"] == "start_run" and event["key"] == "trial-0000" for event in events(run))


def ended(run: Path) -> int:
    """How many trials of a search have ended."""
    if not (run / "mlflow.spool.jsonl").exists():
        return 0
    return sum(event["op"] == "end_run" and event["key"].startswith("trial-") for event in events(run))


def compare(run: Path, uri: str, study: str | None = None) -> dict[str, Any]:
    """What the server has against what the search logged, and `val/ce` against the study, whose database is `study`."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "palenka_tune"]
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = {run.data.tags["palenka.key"]: run for run in found}
    logged: Counter[tuple[str, str, int]] = Counter()
    for event in events(run):
        if event["op"] == "metrics":
            logged.update((event["key"], name, event["step"]) for name in event["metrics"])
    there: Counter[tuple[str, str, int]] = Counter()
    for key, name in {(key, name) for key, name, _ in logged}:
        if key in runs:
            there.update((key, name, m.step) for m in client.get_metric_history(runs[key].info.run_id, name))
    measured: dict[str, dict[int, float]] = {}
    for trial in own_trials(open_study(run, study, read_only=True).get_trials()):
        row = TrialRow.of(trial)
        measured[row.trial_id] = {step * row.tokens // row.steps: value for step, value in row.curve.items()}
    in_mlflow = {
        key: {m.step: m.value for m in client.get_metric_history(runs[key].info.run_id, "val/ce")}
        for key in measured.keys() & runs.keys()
    }
    states = outcome(run)
    expected = {"search": "FINISHED", **{key: STATUS[state] for key, (state, *_) in states.items()}}
    wrong = [key for key, status in expected.items() if key not in runs or runs[key].info.status != status]
    return {
        "metrics": len(logged),
        "metrics_missing": sum((logged - there).values()),
        "metrics_twice": sum(count - 1 for count in [*there.values(), *logged.values()]),
        "metrics_unknown": len(there.keys() - logged.keys()),
        "metrics_off_the_study": sum(in_mlflow.get(key) != values for key, values in measured.items()),
        "runs_in_wrong_state": len(wrong),
        "runs_twice": len(found) - len(runs),
    }


def experiment(folder: Path) -> dict[str, Any]:
    """One search with the server away in its middle."""
    place = Place.make(folder)
    server = Server(place, folder / "server")
    place.environment["MLFLOW_TRACKING_URI"] = server.uri
    server.start()
    run = place.run_folder("outage")
    process = place.start("outage")
    try:
        wait_for(lambda: process.poll() is not None or begun(run), 300, "the first trial")
        server.kill()
        wait_for(lambda: process.poll() is not None or ended(run) >= 4, 300, "four trials without a server")
        server.start()
        assert process.wait(timeout=300) == 0, place.said("outage")
        return compare(run, server.uri)
    finally:
        place.kill_all()


def arrived(result: dict[str, Any]) -> bool:
    """Whether every metric and every run arrived once, and every run has the right state."""
    return result["metrics"] > 0 and not any(result[key] for key in BROKEN)


def good(result: dict[str, Any]) -> bool:
    """Whether the server has what the search logged, once, and nothing else."""
    return arrived(result) and not result["metrics_unknown"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
