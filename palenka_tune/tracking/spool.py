"""The spool of a run: what was logged for MLflow, on disk, before any server has seen it.

Goes in: events (small dicts) from the driver of a search. Comes out: the same events in order, each with the sequence
number and the wall-clock time it was logged at. The file is JSON lines, `<run_dir>/mlflow.spool.jsonl`, and only ever
grows; line n holds event n, and line 0 names the run for the store. How far it has been shipped, and where to, stands
beside it in `mlflow.shipped.json`, and the MLflow run of each of our keys in `mlflow.runs.json`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palenka_tune.config.files import read_json, write_json
from palenka_tune.errors import PalenkaError

SPOOL = "mlflow.spool.jsonl"
SHIPPED = "mlflow.shipped.json"
RUNS = "mlflow.runs.json"

Event = dict[str, Any]
logger = logging.getLogger(__name__)


class Spool:
    """Appends to the spool of `run_dir`; opening it repairs a last line that a crash tore. One writer at a time.

    `append` hands the line to the operating system, so that a killed process loses nothing; a power cut may cost the
    last seconds. The caller serialises calls.
    """

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self.path = run_dir / SPOOL
        lines = _repair(self.path)
        self._file = self.path.open("ab", buffering=0)
        self.seq = lines - 1
        if lines == 0:
            # Not the folder's name alone: the same name in two storage folders may share one server.
            name = re.sub(r"[^A-Za-z0-9._-]", "_", run_dir.resolve().name)
            self.append({"op": "spool", "run": f"{name}-{uuid.uuid4().hex[:8]}"})

    def append(self, event: Event) -> int:
        """Write one event and return its sequence number; raises `OSError`, and writes nothing, if the disk is full."""
        stamped = {"seq": self.seq + 1, "time": time.time_ns() // 1_000_000, **event}
        line = json.dumps(stamped, ensure_ascii=False, default=str).encode() + b"\n"
        start = self._file.tell()
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError:
            self._file.truncate(start)  # no torn line in the middle
            raise
        self.seq += 1
        return self.seq

    def close(self) -> None:
        """Write through to the disk itself and close."""
        os.fsync(self._file.fileno())
        self._file.close()


def _repair(path: Path) -> int:
    """Make the file end with a whole line and return the number of lines."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        lines, end = 0, 0
        for line in file:
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
            elif _parse(line) is not None:  # only the line end is missing
                file.write(b"\n")
                return lines + 1
            else:
                file.truncate(end)
    return lines


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def read_events(path: Path, seq: int = -1, offset: int = 0) -> Iterator[tuple[int, int, Event | None]]:
    """Yield `(seq, end offset, event)` of every whole line after event `seq`, which ends at byte `offset`.

    A damaged line comes as None. If the file is not what `offset` remembers (shortened by a power cut), the events are
    found by counting lines from the start. A last line without its end is still being written and is left alone.
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
                yield number, offset, _parse(line)


def spool_name(path: Path) -> str:
    """The spool's own name of its run, as the store's tag `palenka.run` has it."""
    for _, _, event in read_events(path):
        if event and "run" in event:
            return str(event["run"])
        break
    raise PalenkaError(f"{path} does not begin like a spool of palenka_tune; move it away and run the command again")


@dataclass
class Shipped:
    """Where the spool goes (`tracking_uri` without any password) and the last event that the store has."""

    tracking_uri: str
    experiment: str
    artifact_location: str | None = None
    experiment_id: str | None = None
    seq: int = -1
    offset: int = 0

    def same_target(self, other: Shipped) -> bool:
        """Whether both go to the same experiment of the same store."""
        return (self.tracking_uri, self.experiment) == (other.tracking_uri, other.experiment)

    def save(self, run_dir: Path) -> None:
        """Write atomically."""
        write_json(run_dir / SHIPPED, asdict(self))

    @classmethod
    def load(cls, run_dir: Path) -> Shipped:
        """Read; raises `PalenkaError` if the file is missing or damaged."""
        try:
            return cls(**read_json(run_dir / SHIPPED))
        except TypeError as error:
            raise PalenkaError(f"{run_dir / SHIPPED} is damaged ({error})") from None


def load_runs(run_dir: Path) -> dict[str, str]:
    """MLflow's run id of each of our keys; empty if the file is missing or damaged (the store is then asked)."""
    try:
        return {str(key): str(value) for key, value in read_json(run_dir / RUNS).items()}
    except (PalenkaError, AttributeError):
        return {}
