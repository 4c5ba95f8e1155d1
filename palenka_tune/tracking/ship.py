"""Shipping a spool to MLflow: its events in order, each at least once, from where the last attempt stopped.

The run folder records how far that is. Neighbouring metrics, params and tags share a call for each run. A store that is
away, or takes no writes, raises `OutageError` and loses nothing. An event that it refuses for its content is skipped
with a warning. Files go to an artifact store that may fail by itself: what it does not take is set aside, where it
holds nothing up, and sent by the next process.
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
from typing import Literal

from palenka_tune.config.sealed import write_sealed
from palenka_tune.errors import PalenkaError
from palenka_tune.storage import file_lock
from palenka_tune.tracking.identity import claim
from palenka_tune.tracking.spool import (
    RUNS,
    SPOOL,
    Event,
    Line,
    Shipped,
    Spool,
    has_event,
    load_runs,
    read_events,
    spool_path,
)
from palenka_tune.tracking.store import begin, brief, bring_along, canonical, code, connect, database, redact, refused
from palenka_tune.tracking.tags import EXPERIMENT
from palenka_tune.tracking.writer import Writer

logger = logging.getLogger(__name__)

_BATCHED = {"metrics", "params", "tags"}
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # so that the UI opens the runs and does not ask what this is
    "mlflow.note.content": "Searches of palenka_tune. Each is a run with its trials and teachers nested under it; its "
    "description says what came out.",
}
_WINDOW = 1000  # events shipped between two records of how far that is
_APART = {"artifact", "model", "register", "inputs"}  # what may be sent after later events
_UNWRITABLE = {"TEMPORARILY_UNAVAILABLE", "BAD_REQUEST"}  # MLflow's codes where its database takes no writes
_ATTEMPTS = 5  # of such an event that fails although the store answers, before it is set aside


class OutageError(Exception):
    """The store did not take an event now; nothing is lost, try again later."""


class Shipper:
    """Ships the spool of `run_dir` to the store at `tracking_uri` (which may hold a password).

    `seq` is the last event dealt with, `aside` the number of earlier ones that wait, `runs` the MLflow run id of each
    key, `experiment_id` None until the store was reached. Setting `stop` ends `ship` early.
    """

    def __init__(self, run_dir: Path, tracking_uri: str) -> None:
        self.run_dir = run_dir
        self.tracking_uri = tracking_uri
        self.seq = -1
        self.aside = 0
        self.reason = ""
        self.runs: dict[str, str] = {}
        self.experiment_id: str | None = None
        self.stop = threading.Event()
        self._writer: Writer | None = None
        self._attempts: dict[int, int] = {}
        self._began = False
        self._warned: set[str] = set()

    def ship(self) -> int:
        """Ship all that waits and return how many events that was; raises `OutageError` where the store stops."""
        count = 0
        spool = self.run_dir / SPOOL
        try:
            with file_lock.held(self.run_dir / ".mlflow.lock", timeout=0.0):
                shipped = Shipped.load(self.run_dir)
                if not self._began and shipped.seq >= 0 and not has_event(spool, shipped):
                    shipped.start_over()  # its numbers are those of a longer spool, of which this one is an older copy
                    shipped.save(self.run_dir)
                self.seq, self.aside = shipped.seq, len(shipped.aside)
                again = shipped.aside and not self._began
                if self._writer is None and (again or any(read_events(spool, shipped.seq, shipped.offset))):
                    self._writer = self._open(shipped)  # which may find that the store has nothing
                    self.seq, self.aside = shipped.seq, len(shipped.aside)
                self.runs.update(load_runs(self.run_dir))  # another process may have replayed in the meantime
                for window in _windows(read_events(spool, shipped.seq, shipped.offset)):
                    if self.stop.is_set():
                        break
                    assert self._writer is not None  # something waits
                    self._ship_window(window, self._writer, shipped)
                    seq, offset, last = window[-1]
                    count += seq - shipped.seq
                    shipped.seq, shipped.offset, shipped.time = seq, offset, last["time"] if last else 0
                    shipped.save(self.run_dir)
                    self.seq, self.aside = seq, len(shipped.aside)
                if self._writer and not self._began:  # once: an artifact store that is away costs minutes a try
                    count += self._ship_aside(self._writer, shipped)
                self._began = True
        except file_lock.FileHeldError as error:
            raise OutageError(f"{spool} is being sent by {error}") from None
        return count

    def _open(self, shipped: Shipped) -> Writer:
        """Connect, find or create the experiment, and the runs of this search in it."""
        try:
            path = database(self.tracking_uri)
            if path is not None and path.exists() and (shipped.artifact_location or "").startswith("file:"):
                bring_along(path, str(shipped.artifact_location))
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
            self.experiment_id = shipped.experiment_id = experiment_id
            runs = claim(client, experiment_id, self.run_dir, shipped, load_runs(self.run_dir))
            write_sealed(self.run_dir / RUNS, runs)
            shipped.save(self.run_dir)
        except Exception as error:  # any error of a store or its driver: nothing has been shipped, so try again
            raise OutageError(str(error) if isinstance(error, PalenkaError) else brief(error)) from error
        self.runs.clear()
        return Writer(client, experiment_id, self.run_dir, str(shipped.search_id), self.runs, self._warn)

    def _ship_aside(self, writer: Writer, shipped: Shipped) -> int:
        """Try once more what was set aside, in order; returns how many events no longer wait."""
        waiting, shipped.aside = shipped.aside, []
        for seq, offset in waiting:
            line = next(read_events(self.run_dir / SPOOL, seq - 1, offset), None)
            if line is None or line[2] is None:
                continue  # damaged since then, which is said where the spool is read in order
            self._attempts[seq] = _ATTEMPTS - 1
            if not self._try(line[2], partial(writer.write, line[2]), writer, shipped):
                shipped.aside.append((seq, offset))
        self._attempts.clear()
        shipped.save(self.run_dir)
        self.aside = len(shipped.aside)
        return len(waiting) - self.aside

    def _ship_window(self, window: list[Line], writer: Writer, shipped: Shipped) -> None:
        groups: dict[str, list[Event]] = {}
        for seq, _, event in window:
            if event is None:
                self._warn("damaged", f"line {seq + 1} of {self.run_dir / SPOOL} is damaged")
            elif event["op"] in _BATCHED:
                groups.setdefault(event["key"], []).append(event)
            elif event["op"] != "spool" and not self._try(event, partial(writer.write, event), writer, shipped):
                shipped.aside.append((seq, shipped.offset))  # it is alone: its line begins where the last one ends
        for group in groups.values():
            self._try(group[0], partial(writer.write_batch, group), writer, shipped)
        self._attempts.clear()

    def _try(self, event: Event, action: Callable[[], None], writer: Writer, shipped: Shipped) -> bool:
        """Run `action`; skip what is refused for its content. False: to be set aside, since it may come later and fails
        though the store answers, or needs what is aside. Raises `OutageError` for any other failure."""
        if event["op"] == "register" and shipped.aside:  # its model may be there
            return False
        try:
            action()
        except Exception as error:  # artifact stores bring exceptions of their own
            if refused(error):
                self._warn(f"{event['op']} {code(error)}", f"{event['op']} of run '{event['key']}': {brief(error)}")
                return True
            writer.looked_up = False  # the call may have created its run all the same
            seq, self.reason = event["seq"], brief(error)
            if event["op"] in _APART and code(error) not in _UNWRITABLE and writer.alive():
                self._attempts[seq] = self._attempts.get(seq, 0) + 1
            if self._attempts.get(seq, 0) < _ATTEMPTS:
                raise OutageError(self.reason) from error
            self._warn(
                f"aside {event['op']}", f"{event['op']} of run '{event['key']}' waits, the rest is sent ({self.reason})"
            )
            return False
        return True

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
        spool.append({"op": "end_run", "key": key, "status": "KILLED", "ended": spool.last_times[key]})
    spool.close()
    return len(still_open)


def replay_command(run_dir: Path) -> str:
    """The command that sends what a run's folder keeps for MLflow."""
    return shlex.join(["python", "-m", "palenka_tune.track", "replay", str(run_dir)])


def replay(run_dir: Path) -> int:
    """Ship what an earlier process left in `run_dir` and return how many events that was.

    The store is the one of that process; a password comes from `MLFLOW_TRACKING_URI` if it names the same store. Raises
    `PalenkaError` if there is nothing to ship from, the store is not known or does not take everything.
    """
    run_dir = Path(run_dir)
    spool_path(run_dir)
    shipped = _target(run_dir)
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    same = canonical(given) == canonical(shipped.tracking_uri)
    shipper = Shipper(run_dir, given if same else shipped.tracking_uri)
    try:
        count = shipper.ship()
        if shipper.aside:
            raise OutageError(shipper.reason)
    except OutageError as outage:
        raise PalenkaError(
            f"MLflow at {shipped.tracking_uri} did not take everything ({outage}); nothing is lost, try again later"
        ) from outage
    return count


def tell(run_dir: Path, what: Literal["moved", "copied"]) -> None:
    """Note that `run_dir` is the folder to which MLflow's runs belong, moved here, or a copy of it.

    Raises `PalenkaError` if it was never tracked.
    """
    spool_path(run_dir)
    shipped = Shipped.load(run_dir)
    shipped.told = what
    shipped.save(run_dir)


def _target(run_dir: Path) -> Shipped:
    """Where the spool goes; if that is not noted any more, or a database that is gone, the store that holds now."""
    storage, shipped = run_dir.absolute().parent, None
    try:
        shipped = Shipped.load(run_dir)
        path = database(shipped.tracking_uri)
        if path is None or path.exists():
            return shipped
        reason = f"{path}, to which it was sent, is gone"
    except PalenkaError as error:
        reason = str(error)
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (storage / "mlflow.db").exists():
        raise PalenkaError(f"{reason}; set MLFLOW_TRACKING_URI to the address of the store that has the search")
    store = begin(None, storage)
    if store.opening is not None:
        store.opening.join()
    target = Shipped(redact(store.uri), EXPERIMENT, store.artifacts, search_id=shipped.search_id if shipped else None)
    target.save(run_dir)
    return target


def _windows(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Cut into lists of neighbouring events that can share calls; an event of another kind has a list to itself."""
    for alone, neighbours in groupby(lines, key=lambda line: line[2] is not None and line[2]["op"] not in _BATCHED):
        while window := list(islice(neighbours, 1 if alone else _WINDOW)):
            yield window
