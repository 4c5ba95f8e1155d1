"""Retries of failed trials: how often a trial that ended with an error is run again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from palenka_tune.runs.heartbeat import TrialPulse
from palenka_tune.storage import mirror

NODES_LOST = 10
MEMORY_KILLS = 10
# what Ray says of a process that it ended itself for lack of memory; its word on others only guesses
RAYS_WORDS = ("OutOfMemoryError", "memory usage threshold", "running low on memory")
NO_MEMORY = "its process was killed for lack of memory"
logger = logging.getLogger(__name__)


class Retries:
    """Grants a trial `max_failures` more tries; it resumes from its checkpoint.

    Where its `node_is_gone` (a spot machine that was reclaimed), or its process never began, as on a node of which Ray
    does not know yet that it is gone, the trial gets another try too, up to `NODES_LOST` times, and that is no failure
    of its own. So does one that was killed for lack of memory, by Ray or by the kernel, up to `MEMORY_KILLS` times:
    which process that hits is chance. `memory_kills()` counts the kernel's kills on this machine.
    """

    def __init__(
        self,
        folder: Path,
        max_failures: int,
        node_is_gone: Callable[[str], bool] | None,
        memory_kills: Callable[[], int] = lambda: 0,
    ) -> None:
        self.folder, self.max_failures, self.node_is_gone = folder, max_failures, node_is_gone
        self._failures: Counter[str] = Counter()
        self._nodes_lost: Counter[str] = Counter()
        self._memory_kills: Counter[str] = Counter()
        self._lacking: set[str] = set()  # those whose last process was killed for lack of memory
        self._count_kills, self._kills = memory_kills, memory_kills()

    @property
    def killed_for_memory(self) -> int:
        """How many trials were killed for lack of memory: so many too many ran at a time."""
        return self._memory_kills.total()

    def granted(self, trial_id: str, error: str = "") -> bool:
        """Whether a trial that ended with an error gets another try; `error` is what Ray says of it."""
        state = TrialPulse(self.folder, trial_id).read() or {}
        has_reason = mirror.exists(self.folder / f"{trial_id}.error")
        self._lacking.discard(trial_id)
        if self._lacked_memory(error, has_reason):
            self._lacking.add(trial_id)
            self._memory_kills[trial_id] += 1
            logger.warning("%s: %s; it continues from its last checkpoint, beside fewer others", trial_id, NO_MEMORY)
            return self._memory_kills[trial_id] <= MEMORY_KILLS
        began = state.get("pid") or has_reason
        if self.node_is_gone is not None and (not began or (state.get("node") and self.node_is_gone(state["node"]))):
            self._nodes_lost[trial_id] += 1
            logger.warning("the node of %s is gone; the trial continues elsewhere from its last checkpoint", trial_id)
            return self._nodes_lost[trial_id] <= NODES_LOST
        self._failures[trial_id] += 1
        return self._failures[trial_id] <= self.max_failures

    def reason(self, trial_id: str) -> str:
        """Why a trial failed whose process left no reason."""
        return NO_MEMORY if trial_id in self._lacking else "the trial's process died"

    def _lacked_memory(self, error: str, has_reason: bool) -> bool:
        """Whether a process was killed for lack of memory: by Ray, which says so, or by the kernel, which counts."""
        if any(words in error for words in RAYS_WORDS):
            return True
        if has_reason or self._count_kills() <= self._kills:
            return False
        self._kills += 1  # each kill explains one death
        return True
