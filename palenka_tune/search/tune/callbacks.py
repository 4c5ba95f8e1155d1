"""Who hears what happens in a search: the display, MLflow."""

from __future__ import annotations

from typing import Any, Protocol

from palenka_tune.trials.ledger import Proposal


class Observer(Protocol):
    """Called on the driver; what an observer raises is logged and stops nothing."""

    def started(self, proposal: Proposal) -> None: ...
    def reported(self, trial_id: str, result: dict[str, Any]) -> None: ...
    def finished(self, trial_id: str, state: str, reason: str | None) -> None: ...
