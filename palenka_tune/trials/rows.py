"""What is known of the trials of a study: a row for each that ended, and which is the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from palenka_tune.errors import PalenkaError
from palenka_tune.trials.arms import ANCHOR

COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAILED"
STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}

# what is measured of a trial at its end beside val/ce
TERMS = ("val_kl", "val_hidden", "val_total")


def own_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were or will be run: all but repetitions."""
    return [trial for trial in trials if "duplicate_of" not in trial.user_attrs]


def rows_of(trials: Iterable[FrozenTrial]) -> list[dict[str, Any]]:
    """A row per finished trial of a study, in the order in which they were proposed."""
    return [row_of(trial) for trial in own_trials(trials) if trial.state in STATES.values()]


def row_of(trial: FrozenTrial) -> dict[str, Any]:
    """The row of a trial; the state of one that is not finished is Optuna's name of it."""
    names = {state: name for name, state in STATES.items()}
    attrs, values = trial.user_attrs, trial.intermediate_values
    progress = attrs.get("progress", {})
    measured = progress.get("measured", {})
    return {
        "trial_id": attrs["trial_id"],
        "state": names.get(trial.state, trial.state.name),
        "anchor": attrs.get(ANCHOR),
        "values": attrs["values"],
        "curve": {step: values[step] for step in sorted(values)},
        "val_ce": values[max(values)] if values else None,
        "val_ce_best": min(values.values()) if values else None,
        **{name: measured.get(name.replace("_", "/")) for name in TERMS},
        "steps": progress.get("steps", 0),
        "tokens": progress.get("tokens", 0),
        "seconds": progress.get("seconds", 0.0),
        "reason": attrs.get("reason"),
    }


def best_first(rows: Iterable[Mapping[str, Any]], objective: str = "val_ce") -> list[Mapping[str, Any]]:
    """The COMPLETE rows, the best by `objective` first.

    By `val_total` anchors are left out: with no weight on any term the smallest sum would always be theirs.
    """
    complete = [row for row in rows if row["state"] == COMPLETE]
    if objective != "val_ce":
        complete = [row for row in complete if not row["anchor"]]
    return sorted(complete, key=lambda row: (row[objective], row["trial_id"]))


def best_row(rows: Sequence[Mapping[str, Any]], objective: str = "val_ce") -> Mapping[str, Any]:
    """The COMPLETE trial with the lowest `objective`; raises `PalenkaError` if there is none."""
    best = best_first(rows, objective)
    if not best:
        reasons = sorted({str(row["reason"]) for row in rows if row["reason"]}) or ["no trial was run"]
        raise PalenkaError(f"no trial was trained to the end ({reasons[0]}); see trials.parquet for each reason")
    return best[0]


def anchor_row(rows: Sequence[Mapping[str, Any]], anchor: str) -> Mapping[str, Any] | None:
    """The row of an anchor, if it was trained to the end."""
    found = [row for row in rows if row["anchor"] == anchor and row["state"] == COMPLETE]
    return found[0] if found else None
