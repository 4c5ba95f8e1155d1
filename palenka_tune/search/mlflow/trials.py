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
            self._measured(trial_id, measured, steps=result["steps"], tokens=result["tokens"])
        for record in result.get("history", ()):
            metrics = {TRAINED[name]: value for name, value in record["terms"].items() if name in TRAINED}
            metrics["train/tokens_per_second"] = record["tokens_per_second"]
            self.tracker.log_metrics(trial_id, metrics, step=record["tokens"])

    def _measured(self, trial_id: str, measured: Mapping[str, float | None], *, steps: int, tokens: int) -> None:
        self.tracker.log_metrics(trial_id, metric_names(measured), step=tokens)
        passed = sum(step <= steps for step in self.rungs)
        self.tracker.set_tags(trial_id, {"palenka.rung": f"{passed} of {len(self.rungs)}"})

    def settle(self, trials: Iterable[tuple[Proposal, TrialRow]]) -> None:
        """Tell what the study knows and a process that died did not tell any more: runs, what was measured, ends.

        A search that goes on elsewhere has a copy of the spool that is some seconds older than the study.
        """
        for proposal, row in trials:
            name, ended, untold = row.trial_id, row.state in STATUS, self._untold(row)
            if self.tracker.is_open(name):
                heard = self.tracker.last_heard(name)
            elif untold or (ended and self.tracker.tag(name, "palenka.state") != row.state):
                heard = None
                self.started(proposal)
            else:
                continue
            for step, measured in untold.items():
                self._measured(name, measured, steps=step, tokens=_tokens(row, step))
            if ended:
                self.finished(name, row.state, row.reason, ended=heard)

    def _untold(self, row: TrialRow) -> dict[int, dict[str, float | None]]:
        """{step: what was measured} of a trial, later than what the spool knows of it."""
        if not row.steps:
            return {}
        told = self.tracker.last_step(row.trial_id, "val/ce")
        late = {step: value for step, value in row.curve.items() if told is None or _tokens(row, step) > told}
        at_the_end = {name: getattr(row, name) for name in ("val_ce_raw", "val_kl", "val_hidden", "val_total")}
        return {step: {"val_ce": ce, **(at_the_end if step == row.steps else {})} for step, ce in late.items()}

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


def _tokens(row: TrialRow, step: int) -> int:
    """Tokens that a trial had trained at a step: a batch has as many at every step."""
    return step * row.tokens // row.steps
