"""Every trial as a nested MLflow run that is named by its id and its settings.

Params are all settings, metrics have trained tokens as their step, tags say which trial it is, how far it came and how
it ended. The UI makes a chart of every metric, so there are few: those that tell recipes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from palenka_tune.search.mlflow.names import TRAIN_LOSS, metric_names
from palenka_tune.tracking.tags import NOTE, PARENT
from palenka_tune.tracking.tracker import Status, Tracker
from palenka_tune.trials.arms import FIXED, HIDDEN, LOGITS, PLAIN
from palenka_tune.trials.ledger import Proposal
from palenka_tune.trials.metrics import METRICS
from palenka_tune.trials.names import run_name, settings_name
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED, PRUNED, TrialRow

# a trial that was paused went as well as one that ended: a status but FINISHED is a cross in the UI
STATUS: dict[str, Status] = {COMPLETE: "FINISHED", PRUNED: "FINISHED", PAUSED: "FINISHED", FAILED: "FAILED"}
# a term of the loss in training: what is logged of it (the others are measured on dev)
TRAINED = {"total": TRAIN_LOSS, "ce": "train/ce", "target_std": "train/target_std"}
FIXED_NOTES = {
    PLAIN: "The fixed setting without teachers, with the budget and the seed of every trial.",
    LOGITS: "The fixed setting that learns from logits alone, with the budget and the seed of every trial.",
    HIDDEN: "The fixed setting with logits and hidden states, with the budget and the seed of every trial.",
}


class MlflowObserver:
    """`params_of` gives all settings of a trial, searched and fixed; `tags` go to every run; `rungs` are the steps at
    which trials are judged."""

    def __init__(
        self,
        tracker: Tracker,
        params_of: Callable[[Proposal], Mapping[str, Any]],
        tags: Mapping[str, str],
        rungs: Sequence[int] = (),
    ) -> None:
        self.tracker, self.params_of, self.tags, self.rungs = tracker, params_of, tags, rungs
        self.open: set[str] = set()

    def started(self, proposal: Proposal) -> None:
        self.open.add(proposal.trial_id)
        tags = {**self.tags, "palenka.trial_id": proposal.trial_id, "palenka.state": "RUNNING"}
        tags |= {"palenka.arm": proposal.arm, "palenka.origin": proposal.origin}
        if proposal.origin == FIXED:
            tags[NOTE] = FIXED_NOTES[proposal.arm]
        self.tracker.start_run(
            proposal.trial_id,
            name=run_name(proposal.trial_id, settings_name(proposal.arm, proposal.origin, proposal.values)),
            parent=PARENT,
            tags=tags,
            params=dict(self.params_of(proposal)),
        )

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        measured = {name: value for name, value in result.items() if name in METRICS}
        if measured:
            # before the training's: Compare opens on a run's first metric, which is val/ce
            self.tracker.log_metrics(trial_id, metric_names(measured), step=result["tokens"])
            passed = sum(step <= result["steps"] for step in self.rungs)
            self.tracker.set_tags(trial_id, {"palenka.rung": f"{passed} of {len(self.rungs)}"})
        for record in result.get("history", ()):
            metrics = {TRAINED[name]: value for name, value in record["terms"].items() if name in TRAINED}
            metrics["train/tokens_per_second"] = record["tokens_per_second"]
            self.tracker.log_metrics(trial_id, metrics, step=record["tokens"])

    def settle(self, rows: Iterable[TrialRow]) -> None:
        """End the runs of finished trials whose end a process that died could not tell any more."""
        for row in rows:
            if self.tracker.is_open(row.trial_id):
                self.finished(row.trial_id, row.state, row.reason, ended=self.tracker.last_heard(row.trial_id))

    def finished(self, trial_id: str, state: str, reason: str | None, ended: float | None = None) -> None:
        tags = {"palenka.state": state}
        if reason:
            tags["palenka.reason"] = reason
            tags[NOTE] = f"{trial_id}: {state}, {reason}."
        self.tracker.set_tags(trial_id, tags)
        self.tracker.end_run(trial_id, STATUS[state], ended=ended)
        self.open.discard(trial_id)

    def close(self) -> None:
        """End the runs of trials that an interrupted search left unfinished."""
        for trial_id in sorted(self.open):
            self.tracker.end_run(trial_id, "KILLED")
