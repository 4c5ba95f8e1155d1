"""The bridge between Ray Tune and the ledger: Tune asks here for trials and tells here how they went.

Tune's own `OptunaSearch` keeps stopped trials as COMPLETE and leaves NaN trials running for ever; this searcher tells
the study the truth. Observers (display, MLflow) hear of every start, report and end, and can stop nothing.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from palenka_tune.runs import checkpoints
from palenka_tune.runs.heartbeat import SearchPulse, TrialPulse
from palenka_tune.search.tune.callbacks import Observer
from palenka_tune.search.tune.retries import Retries
from palenka_tune.search.tune.scheduler import RungScheduler
from palenka_tune.storage import mirror
from palenka_tune.trials.arms import PLAIN
from palenka_tune.trials.ledger import Ledger, Proposal
from palenka_tune.trials.metrics import TERMS, VAL_CE
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED, PRUNED

logger = logging.getLogger(__name__)


class LedgerSearcher(Searcher):
    """Proposes what the ledger asks for. `trial_config` turns a proposal into a trial's configuration.

    `stopping` tells that no more trials are to begin. Once more than `abort_after` trials have failed for the same
    reason before any came to its end, `aborted` holds that reason, and no more trials begin either. A trial that died
    because Ray is not `is_up` any more has not failed: it was interrupted. `when_room` runs an action once the disk has
    room for it.

    A trial that ended with an error is proposed again as `retries` grants it, and resumes from its checkpoint. `room()`
    is how many trials may run at a time: on a cluster it changes as nodes come and go. One less runs for each trial
    that was killed for lack of memory, of which `memory_kills()` tells.
    """

    def __init__(
        self,
        ledger: Ledger,
        scheduler: RungScheduler,
        trial_config: Callable[[Proposal], dict[str, Any]],
        folder: Path,
        observers: Sequence[Observer],
        *,
        stopping: Callable[[], bool],
        is_up: Callable[[], bool] = lambda: True,
        when_room: Callable[[Callable[[], None]], None] = lambda action: action(),
        abort_after: int | None = None,
        max_failures: int = 0,
        node_is_gone: Callable[[str], bool] | None = None,
        memory_kills: Callable[[], int] = lambda: 0,
        room: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(metric=VAL_CE, mode="min")
        self.ledger, self.scheduler, self.trial_config = ledger, scheduler, trial_config
        self.folder, self.observers = folder, observers
        self.stopping, self.is_up, self.when_room, self.abort_after = stopping, is_up, when_room, abort_after
        self.retries, self.room = Retries(folder, max_failures, node_is_gone, memory_kills), room
        self.aborted: str | None = None
        self._ids: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.stopping() or self.aborted:
            return str(Searcher.FINISHED)
        running = len(self._ids)
        if self.room is not None and running and running >= self.room() - self.retries.killed_for_memory:
            return None
        proposal = self.ledger.ask()
        if proposal is None:  # a trial that runs may yet have to be run again: then there is nothing for now only
            return None if self.ledger.running else str(Searcher.FINISHED)
        self._ids[trial_id] = proposal.trial_id
        self.when_room(TrialPulse(self.folder, proposal.trial_id).announce)
        self._tell("started", proposal)
        return self.trial_config(proposal)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._record(self._ids[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        own = self._ids.pop(trial_id)
        result = result or {}
        if result.get("interrupted") or (error and not self.is_up()):
            self.ledger.leave(own)
            return
        if "steps" in result:
            self._record(own, result)
        if error and not self.stopping() and self.retries.granted(own, self.scheduler.errors.pop(own, "")):
            self.ledger.again(own)
            return
        state, reason = COMPLETE, None
        if error or "steps" not in result:
            state, reason = FAILED, self._error(own)
        elif result.get("failed"):
            state, reason = FAILED, str(result["failed"])
        elif own in self.scheduler.paused:
            self.ledger.pause(own, self.scheduler.paused.pop(own))
            TrialPulse(self.folder, own).forget()
            self._tell("finished", own, PAUSED, None)
            return
        self.ledger.finish(own, state, reason)
        TrialPulse(self.folder, own).forget()
        ledger = self.ledger
        checkpoints.prune(self.folder, [*ledger.running, *ledger.waiting, *ledger.paused, *ledger.keepers()])
        self._tell("finished", own, state, reason)
        self.aborted = self.aborted or self._hopeless()
        if self.aborted:
            SearchPulse(self.folder).stop()

    def settle(self) -> None:
        """End the trials that are still paused when nothing is left to run."""
        for trial_id, reason in self.ledger.settle().items():
            self._tell("finished", trial_id, PRUNED, reason)

    def _record(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("restarted"):
            logger.warning("%s; %s starts over from its first step", result["restarted"], trial_id)
        if VAL_CE in result:
            self.ledger.report(trial_id, int(result["steps"]), float(result[VAL_CE]))
        self.ledger.note(
            trial_id,
            steps=int(result["steps"]),
            tokens=int(result["tokens"]),
            seconds=float(result["seconds"]),
            parameters=result.get("parameters"),
            measured={name: float(result[name]) for name in TERMS if name in result},
        )
        self._tell("reported", trial_id, result)

    def _error(self, trial_id: str) -> str:
        text = mirror.read(self.folder / f"{trial_id}.error")
        return self.retries.reason(trial_id) if text is None else text.decode()

    def _hopeless(self) -> str | None:
        """The common failure reason (digits ignored) if every trial so far failed alike, else None."""
        rows = self.ledger.rows()
        # a student without teachers says nothing about them
        worked = self.ledger.paused or any(row.state != FAILED and row.arm != PLAIN for row in rows)
        if self.abort_after is None or worked:
            return None
        reasons = [str(row.reason) for row in rows if row.state == FAILED]
        counts = Counter(re.sub(r"[\d.]+", "", reason) for reason in reasons)
        return reasons[-1] if reasons and counts.most_common(1)[0][1] > self.abort_after else None

    def _tell(self, event: str, *details: Any) -> None:
        for observer in self.observers:
            try:
                getattr(observer, event)(*details)
            except Exception:  # a failing display or tracker must not end a search
                logger.warning("%s.%s failed", type(observer).__name__, event, exc_info=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its searcher into its folder and never reads it back; a ledger cannot be pickled."""
        return (str, ("the ledger is in the study",))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed search opens the ledger."""
