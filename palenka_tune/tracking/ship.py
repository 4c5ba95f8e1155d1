"""Shipping a spool to MLflow: its events in order, each at least once, from where the last attempt stopped.

The run folder records how far that is. Neighbouring metrics, params and tags share a call for each run. A store that is
away raises `OutageError` and loses nothing; an event that it refuses for good is skipped with a warning.
"""

from __future__ import annotations

import logging
import os
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from palenka_tune.errors import PalenkaError
from palenka_tune.storage import file_lock
from palenka_tune.tracking.spool import (
    SPOOL,
    Event,
    Line,
    Shipped,
    Spool,
    load_runs,
    read_events,
    spool_name,
    spool_path,
)
from palenka_tune.tracking.store import brief, code, connect, redact, refused
from palenka_tune.tracking.writer import Writer

logger = logging.getLogger(__name__)

_BATCHED = {"metrics", "params", "tags"}
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # so that the UI opens the runs and does not ask what this is
    "mlflow.note.content": "Searches of palenka_tune. Each is a run with its trials and teachers nested under it; its "
    "description says what came out.",
}
_WINDOW = 1000  # events shipped between two records of how far that is
_ATTEMPTS = 5  # of an event that fails although the store answers


class OutageError(Exception):
    """The store did not take an event now; nothing is lost, try again later."""


class Shipper:
    """Ships the spool of `run_dir` to the store at `tracking_uri` (which may hold a password).

    `seq` is the last event dealt with, `runs` the MLflow run id of each key, `experiment_id` None until the store was
    reached. Setting `stop` ends `ship` early.
    """

    def __init__(self, run_dir: Path, tracking_uri: str) -> None:
        self.run_dir = run_dir
        self.tracking_uri = tracking_uri
        self.seq = -1
        self.runs: dict[str, str] = {}
        self.experiment_id: str | None = None
        self.stop = threading.Event()
        self._writer: Writer | None = None
        self._attempts: dict[int, int] = {}
        self._warned: set[str] = set()

    def ship(self) -> int:
        """Ship all that waits and return how many events that was; raises `OutageError` where the store stops."""
        count = 0
        spool = self.run_dir / SPOOL
        try:
            with file_lock.held(self.run_dir / ".mlflow.lock", timeout=0.0):
                shipped = Shipped.load(self.run_dir)
                self.seq = shipped.seq
                self.runs.update(load_runs(self.run_dir))  # another process may have replayed in the meantime
                for window in _windows(read_events(spool, shipped.seq, shipped.offset)):
                    if self.stop.is_set():
                        break
                    self._writer = self._writer or self._open(shipped)
                    self._ship_window(window, self._writer)
                    seq, offset, _ = window[-1]
                    count += seq - shipped.seq
                    shipped.seq, shipped.offset = seq, offset
                    shipped.save(self.run_dir)
                    self.seq = seq
        except file_lock.FileHeldError as error:
            raise OutageError(f"{spool} is being sent by {error}") from None
        return count

    def _open(self, shipped: Shipped) -> Writer:
        """Connect, and find or create the experiment."""
        try:
            client = connect(self.tracking_uri)
            experiment = client.get_experiment_by_name(shipped.experiment)
            if experiment is None:
                experiment_id = client.create_experiment(
                    shipped.experiment, shipped.artifact_location, _EXPERIMENT_TAGS
                )
            else:
                experiment_id = experiment.experiment_id
                if experiment.lifecycle_stage == "deleted":
                    client.restore_experiment(experiment_id)
        except Exception as error:  # any error of a store or its driver: nothing has been shipped, so try again
            raise OutageError(brief(error)) from error
        self.experiment_id = experiment_id
        return Writer(client, experiment_id, self.run_dir, spool_name(self.run_dir / SPOOL), self.runs, self._warn)

    def _ship_window(self, window: list[Line], writer: Writer) -> None:
        groups: dict[str, list[Event]] = {}
        for seq, _, event in window:
            if event is None:
                self._warn("damaged", f"line {seq + 1} of {self.run_dir / SPOOL} is damaged")
            elif event["op"] in _BATCHED:
                groups.setdefault(event["key"], []).append(event)
            elif event["op"] != "spool":
                self._try(event, partial(writer.write, event), writer)
        for group in groups.values():
            self._try(group[0], partial(writer.write_batch, group), writer)
        self._attempts.clear()

    def _try(self, event: Event, action: Callable[[], None], writer: Writer) -> None:
        """Run `action`; skip what is refused for good, or fails several times although the store answers."""
        seq = event["seq"]
        if self._attempts.get(seq, 0) >= _ATTEMPTS:
            return
        try:
            action()
        except Exception as error:  # artifact stores bring exceptions of their own
            if not refused(error):
                writer.looked_up = False  # the call may have created its run all the same
                if writer.alive():
                    self._attempts[seq] = self._attempts.get(seq, 0) + 1
                if self._attempts.get(seq, 0) < _ATTEMPTS:
                    raise OutageError(brief(error)) from error
            self._warn(f"{event['op']} {code(error)}", f"{event['op']} of run '{event['key']}': {brief(error)}")

    def _warn(self, kind: str, message: str) -> None:
        """Say what is skipped, once for its kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("MLflow lacks something of %s: %s (said once for its kind)", self.run_dir.name, message)


def end_open_runs(run_dir: Path) -> int:
    """End the open runs of a search that has died as KILLED, in its spool; returns how many those are.

    Raises `PalenkaError` if there is no spool. The caller makes sure that no search writes to it.
    """
    spool_path(run_dir)
    spool = Spool(run_dir)
    still_open = [*reversed(spool.open_runs)]
    for key in still_open:
        spool.append({"op": "end_run", "key": key, "status": "KILLED"})
    spool.close()
    return len(still_open)


def replay_command(run_dir: Path) -> str:
    """The command that sends what a run's folder keeps for MLflow."""
    return shlex.join(["python", "-m", "palenka_tune.track", "replay", str(run_dir)])


def replay(run_dir: Path) -> int:
    """Ship what an earlier process left in `run_dir` and return how many events that was.

    The store is the one of that process; a password comes from `MLFLOW_TRACKING_URI` if it names the same store.
    Raises `PalenkaError` if there is nothing to ship from or the store does not take it.
    """
    run_dir = Path(run_dir)
    spool_path(run_dir)
    shipped = Shipped.load(run_dir)
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    try:
        return Shipper(run_dir, given if redact(given) == shipped.tracking_uri else shipped.tracking_uri).ship()
    except OutageError as outage:
        raise PalenkaError(
            f"MLflow at {shipped.tracking_uri} did not take everything ({outage}); nothing is lost, try again later"
        ) from outage


def _windows(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Cut into lists of neighbouring events that can share calls; an event of another kind has a list to itself."""
    for alone, neighbours in groupby(lines, key=lambda line: line[2] is not None and line[2]["op"] not in _BATCHED):
        while window := list(islice(neighbours, 1 if alone else _WINDOW)):
            yield window
