"""Retries of failed trials: how often a trial that ended with an error is run again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from palenka_tune.runs.heartbeat import TrialPulse
from palenka_tune.storage import mirror

NODES_LOST = 10
logger = logging.getLogger(__name__)


class Retries:
    """Grants a trial `max_failures` more tries; it resumes from its checkpoint.

    Where its `node_is_gone` (a spot machine that was reclaimed), or its process never began, as on a node of which Ray
    does not know yet that it is gone, the trial gets another try too, up to `NODES_LOST` times, and that is no failure
    of its own.
    """

    def __init__(self, folder: Path, max_failures: int, node_is_gone: Callable[[str], bool] | None) -> None:
        self.folder, self.max_failures, self.node_is_gone = folder, max_failures, node_is_gone
        self._failures: Counter[str] = Counter()
        self._nodes_lost: Counter[str] = Counter()

    def granted(self, trial_id: str) -> bool:
        """Whether a trial that ended with an error gets another try."""
        state = TrialPulse(self.folder, trial_id).read() or {}
        began = state.get("pid") or mirror.exists(self.folder / f"{trial_id}.error")
        if self.node_is_gone is not None and (not began or (state.get("node") and self.node_is_gone(state["node"]))):
            self._nodes_lost[trial_id] += 1
            logger.warning("the node of %s is gone; the trial continues elsewhere from its last checkpoint", trial_id)
            return self._nodes_lost[trial_id] <= NODES_LOST
        self._failures[trial_id] += 1
        return self._failures[trial_id] <= self.max_failures
