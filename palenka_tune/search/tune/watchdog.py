"""A thread beside a search that looks after its trials: ends one that does nothing, says why one waits.

It reads the trials' pulses and nothing of Ray's, so it sees a trial that hangs in a kernel, waits for a lock or was
frozen from outside.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palenka_tune.clocks import AwakeClock
from palenka_tune.config.files import write_text
from palenka_tune.errors import PalenkaError
from palenka_tune.runs.heartbeat import TrialPulse
from palenka_tune.storage import mirror

logger = logging.getLogger(__name__)


# looks that find a trial where it was, at least, before it is ended
LOOKS = 5


class Watch:
    """Watches the trials that `running` lists. `end(pulse)` kills the process of a trial that has not moved for
    `stall_seconds`: Tune then tries it again or counts it as failed. A pause of the whole machine is no stall. Once
    Ray is not `is_up` any more, `died` is called and the watch ends."""

    def __init__(
        self,
        folder: Path,
        running: Callable[[], list[str]],
        *,
        stall_seconds: float,
        end: Callable[[dict[str, Any]], None],
        is_up: Callable[[], bool] = lambda: True,
        died: Callable[[], None] = lambda: None,
        poll_seconds: float = 2.0,
    ) -> None:
        self.folder, self.running, self.stall_seconds = folder, running, stall_seconds
        self._end, self._poll = end, poll_seconds
        self._is_up, self._died = is_up, died
        self._clock = AwakeClock(most=min(stall_seconds / LOOKS, 10 * poll_seconds))
        self._seen: dict[str, tuple[int | None, float]] = {}
        self._pulses: dict[str, TrialPulse] = {}
        self._waiting: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._poll):
            if not self._is_up():
                self._died()
                return
            try:
                self.look()
            except Exception:  # a watch that fails must not end a search
                logger.warning("the watch over the trials failed", exc_info=True)

    def look(self) -> None:
        """Look at every running trial once."""
        running, now = self.running(), self._clock.now()
        self._seen = {trial_id: seen for trial_id, seen in self._seen.items() if trial_id in running}
        self._pulses = {trial_id: self._pulses.get(trial_id, TrialPulse(self.folder, trial_id)) for trial_id in running}
        for trial_id, pulse in self._pulses.items():
            last = pulse.last()
            known = self._seen.setdefault(trial_id, (last, now))
            if last != known[0]:
                self._seen[trial_id] = (last, now)
                self._say_what_it_waits_for(trial_id, pulse.read())
            elif last is not None and now - known[1] >= self.stall_seconds:
                self._stalled(trial_id, pulse.read())
                self._seen[trial_id] = (last, now)

    def _say_what_it_waits_for(self, trial_id: str, state: dict[str, Any] | None) -> None:
        needed = (state or {}).get("waits_for", 0)
        if needed and trial_id not in self._waiting:
            logger.info(
                f"the disk of {self.folder} is full: {trial_id} waits until {needed / 1e6:,.1f} MB are free for its "
                "checkpoint; free space and it goes on"
            )
            self._waiting.add(trial_id)
        elif state is not None and not needed and trial_id in self._waiting:
            logger.info(f"there is space again: {trial_id} goes on")
            self._waiting.discard(trial_id)

    def _stalled(self, trial_id: str, state: dict[str, Any] | None) -> None:
        reason = f"it did not move for {self.stall_seconds / 60:g} minutes (search.stall_minutes) and was ended"
        logger.info(f"{trial_id}: {reason}")
        with contextlib.suppress(OSError, PalenkaError):
            write_text(self.folder / f"{trial_id}.error", reason)
            mirror.publish(self.folder / f"{trial_id}.error")
        if state is not None:
            self._end(state)
