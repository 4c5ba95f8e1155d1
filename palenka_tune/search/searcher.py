"""The bridge between Ray Tune and the ledger: Tune asks here for trials and tells here how they went.

Tune's own `OptunaSearch` keeps stopped trials as COMPLETE and leaves NaN trials running for ever; this searcher tells
the study the truth. Observers (display, MLflow) hear of every start, report and end, and can stop nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from palenka_tune.search.asha import RungScheduler
from palenka_tune.search.ledger import COMPLETE, FAILED, PRUNED, Ledger, Proposal
from palenka_tune.search.observer import Observer

logger = logging.getLogger(__name__)


class LedgerSearcher(Searcher):
    """Proposes what the ledger asks for. `trial_config` turns a proposal into a trial's configuration."""

    def __init__(
        self,
        ledger: Ledger,
        scheduler: RungScheduler,
        trial_config: Callable[[Proposal], dict[str, Any]],
        checkpoints: Path,
        observers: Sequence[Observer],
    ) -> None:
        super().__init__(metric="val/ce", mode="min")
        self.ledger, self.scheduler, self.trial_config = ledger, scheduler, trial_config
        self.checkpoints, self.observers = checkpoints, observers
        self._ids: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        proposal = self.ledger.ask()
        if proposal is None:
            return str(Searcher.FINISHED)
        self._ids[trial_id] = proposal.trial_id
        self._tell("started", proposal)
        return self.trial_config(proposal)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._record(self._ids[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        own = self._ids.pop(trial_id)
        result = result or {}
        if "steps" in result:
            self._record(own, result)
        state, reason = COMPLETE, None
        if error or "steps" not in result:
            state, reason = FAILED, self._error(own)
        elif result.get("failed"):
            state, reason = FAILED, str(result["failed"])
        elif own in self.scheduler.pruned:
            state, reason = PRUNED, f"ASHA stopped it at step {result['steps']}"
        self.ledger.finish(own, state, reason)
        if state != COMPLETE:
            (self.checkpoints / f"{own}.pt").unlink(missing_ok=True)
        self._tell("finished", own, state, reason)

    def _record(self, trial_id: str, result: dict[str, Any]) -> None:
        if "val/ce" in result:
            self.ledger.report(trial_id, int(result["steps"]), float(result["val/ce"]))
        self.ledger.note(
            trial_id, steps=int(result["steps"]), tokens=int(result["tokens"]), seconds=float(result["seconds"])
        )
        self._tell("reported", trial_id, result)

    def _error(self, trial_id: str) -> str:
        path = self.checkpoints / f"{trial_id}.error"
        return path.read_text(encoding="utf-8") if path.exists() else "the trial's process died"

    def _tell(self, event: str, *details: Any) -> None:
        for observer in self.observers:
            try:
                getattr(observer, event)(*details)
            except Exception:  # whatever fails in a display or a tracker must not end a search
                logger.warning("%s.%s failed", type(observer).__name__, event, exc_info=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles what it is given into its folder; nobody reads that back, and a ledger is not for pickling."""
        return (str, ("the ledger is in optuna.journal",))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed search opens the ledger."""
