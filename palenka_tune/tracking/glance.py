"""How much of a run MLflow has, read from the files in the run's folder alone: no server is asked, nothing written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.errors import PalenkaError
from palenka_tune.tracking.spool import SPOOL, Shipped, load_runs, read_events


@dataclass(frozen=True)
class Tracking:
    """`behind` events are not in MLflow yet, the oldest for `waits` seconds; `tracking_uri` is without a password.

    `status` is how the run asked about ended (FINISHED, FAILED, KILLED); None: it is open, or never began.
    """

    tracking_uri: str
    run_id: str | None
    behind: int
    waits: float
    status: str | None
    experiment_id: str | None = None


class SpoolGlance:
    """Looks at the spool of `run_dir`, which may grow between two looks; `key` is the run asked about."""

    def __init__(self, run_dir: Path, key: str) -> None:
        self.run_dir, self.key = run_dir, key
        self._seq, self._offset = -1, 0
        self._status: str | None = None

    def look(self) -> Tracking | None:
        """The state now; None if nothing was tracked."""
        try:
            shipped = Shipped.load(self.run_dir)  # before the spool, which is only ever ahead of it
            self._read()
            oldest = next(
                (event for _, _, event in read_events(self.run_dir / SPOOL, shipped.seq, shipped.offset)), None
            )
        except (PalenkaError, FileNotFoundError):
            return None
        waits = max(0.0, time.time() - oldest["time"] / 1000) if oldest else 0.0
        run_id = load_runs(self.run_dir).get(self.key)
        behind = max(0, self._seq - shipped.seq) + len(shipped.aside)
        return Tracking(shipped.tracking_uri, run_id, behind, waits, self._status, shipped.experiment_id)

    def _read(self) -> None:
        for seq, offset, event in read_events(self.run_dir / SPOOL, self._seq, self._offset):
            self._seq, self._offset = seq, offset
            if event is not None and event.get("key") == self.key:
                if event["op"] == "end_run":
                    self._status = str(event["status"])
                elif event["op"] == "start_run":
                    self._status = None
