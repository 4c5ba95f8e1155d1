"""Every trial as a nested MLflow run: params, metrics by trained tokens, state and reason as tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from palenka_tune.search.ledger import COMPLETE, FAILED, PRUNED, Proposal
from palenka_tune.search.results import describe_values
from palenka_tune.tracking.tracker import Status, Tracker

PARENT = "search"
STATUS: dict[str, Status] = {COMPLETE: "FINISHED", PRUNED: "KILLED", FAILED: "FAILED"}


class MlflowObserver:
    """`params_of` gives all settings of a trial, searched and fixed; `tags` go to every run."""

    def __init__(
        self, tracker: Tracker, params_of: Callable[[Proposal], Mapping[str, Any]], tags: Mapping[str, str]
    ) -> None:
        self.tracker, self.params_of, self.tags = tracker, params_of, tags
        self.open: set[str] = set()

    def started(self, proposal: Proposal) -> None:
        name = f"{proposal.trial_id} {proposal.anchor or describe_values(proposal.values)}"
        self.open.add(proposal.trial_id)
        tags = {**self.tags, "palenka.trial_id": proposal.trial_id, "palenka.state": "RUNNING"}
        if proposal.anchor:
            tags["palenka.anchor"] = proposal.anchor
        self.tracker.start_run(
            proposal.trial_id, name=name, parent=PARENT, tags=tags, params=dict(self.params_of(proposal))
        )

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        for record in result.get("history", ()):
            terms = {f"train/{'loss' if name == 'total' else name}": v for name, v in record["terms"].items()}
            metrics = {**terms, "train/tokens_per_second": record["tokens_per_second"], "train/lr": record["lr"]}
            self.tracker.log_metrics(trial_id, metrics, step=record["tokens"])
        measured = {name: value for name, value in result.items() if name.startswith("val/")}
        if measured:
            self.tracker.log_metrics(trial_id, measured, step=result["tokens"])

    def settle(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """End the runs of finished trials whose end a process that died could not tell any more."""
        for row in rows:
            if self.tracker.is_open(row["trial_id"]):
                self.finished(row["trial_id"], row["state"], row["reason"])

    def finished(self, trial_id: str, state: str, reason: str | None) -> None:
        tags = {"palenka.state": state}
        if reason:
            tags["palenka.reason"] = reason
        self.tracker.set_tags(trial_id, tags)
        self.tracker.end_run(trial_id, STATUS[state])
        self.open.discard(trial_id)

    def close(self) -> None:
        """End the runs of trials that an interrupted search left unfinished."""
        for trial_id in sorted(self.open):
            self.tracker.end_run(trial_id, "KILLED")
