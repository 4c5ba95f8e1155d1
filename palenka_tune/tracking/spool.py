"""The spool of a run: what was logged for MLflow, on disk, before any server has seen it.

The driver of a search appends events (small dicts); each is kept in order with its sequence number and the wall-clock
time at which it was logged. The file is JSON lines, `<run_dir>/mlflow.spool.jsonl`, and only ever grows; line n holds
event n, and line 0 names the run for the store. Beside it, `mlflow.shipped.json` holds how far it has been shipped and
where to, and `mlflow.runs.json` the MLflow run of each of our keys.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from palenka_tune.config.sealed import read_sealed, seal, unseal, write_sealed
from palenka_tune.errors import PalenkaError

SPOOL = "mlflow.spool.jsonl"
SHIPPED = "mlflow.shipped.json"
RUNS = "mlflow.runs.json"

Event = dict[str, Any]
Line = tuple[int, int, Event | None]
"""An event's sequence number, the offset of its line's end in bytes, and the event; None if the line is damaged."""
logger = logging.getLogger(__name__)


class Spool:
    """Appends to the spool of `run_dir`; opening it repairs a last line that a crash tore. One writer at a time.

    `append` hands the line to the operating system, so that a killed process loses nothing; a power cut may cost the
    last seconds. While the disk is full the lines wait in memory. The caller serialises calls.
    """

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self.path = run_dir / SPOOL
        self.last_steps: dict[tuple[str, str], int] = {}
        self.last_tags: dict[tuple[str, str], str] = {}
        self.open_runs: dict[str, None] = {}
        self.known_runs: set[str] = set()
        self.last_times: dict[str, int] = {}
        lines = _repair(self.path, self._note)
        self._file = self.path.open("ab", buffering=0)
        self._end = self.path.stat().st_size
        self.seq = lines - 1
        self._waiting: list[bytes] = []
        if lines == 0:
            # Not the folder's name alone: the same name in two storage folders may share one server.
            name = re.sub(r"[^A-Za-z0-9._-]", "_", run_dir.resolve().name)
            self.append({"op": "spool", "run": f"{name}-{uuid.uuid4().hex[:8]}"})

    def append(self, event: Event) -> int:
        """Write one event, or keep it until the disk has room, and return its sequence number."""
        stamped = {"seq": self.seq + 1, "time": time.time_ns() // 1_000_000, **event}
        self._waiting.append(seal(stamped) + b"\n")
        self._note(stamped)
        self.seq += 1
        self._write()
        return self.seq

    @property
    def unwritten(self) -> int:
        """Events that wait for room on the disk."""
        return len(self._waiting)

    def _note(self, event: Event) -> None:
        """Record each run's last step of each metric, last tags and last time, and whether it is open."""
        if "key" in event:
            self.last_times[event["key"]] = event["time"]
            self.last_tags.update({(event["key"], name): value for name, value in event.get("tags", {}).items()})
        if event["op"] == "metrics":
            self.last_steps.update({(event["key"], name): event["step"] for name in event["metrics"]})
        elif event["op"] == "start_run":
            self.open_runs[event["key"]] = None
            self.known_runs.add(event["key"])
        elif event["op"] == "end_run":
            self.open_runs.pop(event["key"], None)

    def _write(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
            except OSError:
                self._file.truncate(self._end)  # no torn line in the middle
                return
            self._end += len(line)
            del self._waiting[0]

    def close(self) -> None:
        """Write through to the disk itself and close; raises `OSError` if there is still no room."""
        self._write()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._waiting:
            raise OSError(errno.ENOSPC, f"the disk is full and {self.unwritten} events are lost")


def _repair(path: Path, note: Callable[[Event], None]) -> int:
    """Make the file end with a whole line, show every event to `note` and return the number of lines."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        lines, end = 0, 0
        for line in file:
            event = unseal(line)
            if event is not None:
                note(event)
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
            elif event is not None:  # only the line end is missing
                file.write(b"\n")
                return lines + 1
            else:
                file.truncate(end)
    return lines


def read_events(path: Path, seq: int = -1, offset: int = 0) -> Iterator[Line]:
    """Every whole line after event `seq`, which ends at byte `offset`.

    If the file no longer has a line's end at `offset` (a power cut shortened it), lines are counted from the start. A
    last line without its end is still being written and is left alone.
    """
    with path.open("rb") as file:
        number = seq
        file.seek(max(offset - 1, 0))
        if offset == 0 or file.read(1) != b"\n":
            file.seek(0)
            offset, number = 0, -1
        for line in file:
            if not line.endswith(b"\n"):
                return
            number, offset = number + 1, offset + len(line)
            if number > seq:
                yield number, offset, unseal(line)


def spool_path(run_dir: Path) -> Path:
    """The spool of a run folder; raises `PalenkaError` if it has none."""
    if not (run_dir / SPOOL).exists():
        raise PalenkaError(f"{run_dir} holds no {SPOOL}; give the folder of a run that was tracked")
    return run_dir / SPOOL


def spool_name(path: Path) -> str:
    """The spool's own name of its search, by which the store's runs are recognised (see `identity`)."""
    for _, _, event in read_events(path):
        if event and "run" in event:
            return str(event["run"])
        break
    raise PalenkaError(f"{path} does not begin like a spool of palenka_tune; move it away and run the command again")


@dataclass
class Shipped:
    """Where the spool goes (`tracking_uri` without any password) and the last event that was dealt with.

    `time` and `offset` (of its line's end) tell that event from another one of its number. `aside` are events before it
    that the store has not: (sequence number, offset of the line's begin) of each. `search_id` is the identity of the
    search's runs there; `told` is what a person has said that this folder is, compared with the one they belong to.

    What lies in the storage, beside the run folder, is written relative to it, so that it may be moved or copied.
    """

    tracking_uri: str
    experiment: str
    artifact_location: str | None = None
    experiment_id: str | None = None
    seq: int = -1
    offset: int = 0
    time: int = 0
    search_id: str | None = None
    told: Literal["moved", "copied"] | None = None
    aside: list[tuple[int, int]] = field(default_factory=list)

    def save(self, run_dir: Path) -> None:
        """Write atomically."""
        fields = asdict(self)
        for name in ("tracking_uri", "artifact_location"):
            for inside, mark in _inside(run_dir).items():
                fields[name] = fields[name] and re.sub(f"^{re.escape(inside)}", mark, fields[name])
        write_sealed(run_dir / SHIPPED, fields)

    def start_over(self) -> None:
        """Have everything sent from the first event."""
        self.seq, self.offset, self.time, self.aside = -1, 0, 0, []

    @classmethod
    def load(cls, run_dir: Path) -> Shipped:
        """Read; raises `PalenkaError` if the file is missing or damaged."""
        try:
            fields = read_sealed(run_dir / SHIPPED)
            for name in ("tracking_uri", "artifact_location"):
                for inside, mark in _inside(run_dir).items():
                    fields[name] = fields[name] and fields[name].replace(mark, inside)
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise PalenkaError(f"{run_dir / SHIPPED} is damaged ({error})") from None


def _inside(run_dir: Path) -> dict[str, str]:
    """How addresses of a database and of artifacts in the storage of a run folder begin, and what is written of it."""
    storage = run_dir.absolute().parent
    return {f"sqlite:///{storage}/": "sqlite:///{storage}/", f"{storage.as_uri()}/": "file:{storage}/"}


def has_event(path: Path, shipped: Shipped) -> bool:
    """Whether the spool has the event that `shipped` ends with; one that was cut, or is an older copy, has not."""
    for seq, offset, event in read_events(path):
        if seq == shipped.seq:
            return offset == shipped.offset and (event is None or shipped.time in (0, event["time"]))
    return False


def load_runs(run_dir: Path) -> dict[str, str]:
    """MLflow's run id of each of our keys; empty if the file is missing or damaged (the store is then asked)."""
    try:
        return {str(key): str(value) for key, value in read_sealed(run_dir / RUNS).items()}
    except (PalenkaError, AttributeError):
        return {}
