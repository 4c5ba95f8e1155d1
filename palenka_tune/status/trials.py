"""The trials of a search: those that run, those that ended and how, and how fast it goes.

All of it comes from the study and from the last pulse of each running trial.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from palenka_tune.status.files import Pulse
from palenka_tune.trials.arms import UNSELECTED
from palenka_tune.trials.names import settings_name
from palenka_tune.trials.rows import PAUSED_AT, TrialRow, best_first, counts_of

PRIOR = 4  # trials that what is expected of one counts as, beside those that are known


@dataclass(frozen=True)
class Running:
    """A trial that trains: `age` is seconds since its last pulse (one comes every few steps), `rung` how many rungs it
    has reported at, `gpu_bytes` the most that it has taken of a GPU of `gpu_total` bytes (None: it trains on CPUs)."""

    trial_id: str
    settings: str
    step: int
    total_steps: int | None
    val_ce: float | None
    node: str
    pid: int | None
    age: float
    waits_for: int
    rung: int = 0
    tokens_per_second: float | None = None
    gpu_bytes: int | None = None
    gpu_total: int | None = None


@dataclass(frozen=True)
class Ended:
    """A trial that has ended; `rank` is 1 for the best of those that were trained to their end (None: of the others).

    `settings` are its arm and its searched settings.
    """

    trial_id: str
    state: str
    settings: str
    step: int
    val_ce: float | None
    rank: int | None
    reason: str | None


class Speed:
    """How fast the running trials train: `steps` and `tokens` per second over all of them, None before any report.

    `awaited` trials are about to begin in places that are free for a moment, and count as well.
    """

    def __init__(self, trials: Sequence[FrozenTrial], running: Sequence[Running], awaited: int = 0) -> None:
        self.running, self.awaited = running, awaited
        self.steps = self._sum({t.user_attrs["trial_id"]: _rate(t, "steps") for t in trials})
        tokens = {t.user_attrs["trial_id"]: _rate(t, "tokens") for t in trials}
        self.tokens = self._sum(tokens | {t.trial_id: t.tokens_per_second for t in running if t.tokens_per_second})

    def _sum(self, rates: Mapping[str, float | None]) -> float | None:
        """Over all running and awaited trials; one that has not reported yet counts like the others' median."""
        reported = {name: rate for name, rate in rates.items() if rate is not None}
        if not reported:
            return None
        usual = statistics.median(reported.values())
        return sum(reported.get(trial.trial_id, usual) for trial in self.running) + usual * self.awaited

    def steps_left(
        self, rows: Sequence[TrialRow], planned: int | None, never_paused: int, rungs: Sequence[int], share: float
    ) -> float | None:
        """Steps until the trials are done. `rows` are those that ended or rest, `rungs` end with a trial's last step.

        Of the trials to come, those that are `never_paused` train all steps. The others train as many as their like do
        on average; while few of these are known, `share` of the steps is expected of them (as if of `PRIOR` trials).
        """
        if not (rungs and planned):
            return None
        total_steps = rungs[-1]
        full = sum(row.origin in UNSELECTED for row in rows)
        others = [row.steps for row in rows if row.origin not in UNSELECTED]
        mean = (sum(others) + PRIOR * share * total_steps) / (len(others) + PRIOR)
        full_to_come = max(0, never_paused - full)
        to_come = full_to_come * total_steps + max(0, planned - len(rows) - full_to_come) * mean
        # those that run train on to their next rung at least
        ends = sum(rungs[min(trial.rung, len(rungs) - 1)] for trial in self.running)
        return max(to_come, ends) - sum(trial.step for trial in self.running)


def _rate(trial: FrozenTrial, quantity: str) -> float | None:
    """Steps or tokens per second of a trial so far, validations included; None before its first report."""
    progress = trial.user_attrs.get("progress", {})
    return progress[quantity] / progress["seconds"] if progress.get("seconds", 0) > 0 else None


def running_of(trial: FrozenTrial, pulse: Pulse, total_steps: int | None) -> Running:
    """A trial that trains, from its record in the study and its last pulse."""
    attrs, values = trial.user_attrs, trial.intermediate_values
    return Running(
        trial_id=attrs["trial_id"],
        settings=_settings(TrialRow.of(trial)),
        step=max(pulse.step, attrs.get("progress", {}).get("steps", 0)),
        total_steps=total_steps,
        val_ce=values[max(values)] if values else None,
        node=" ".join(part for part in (pulse.host, pulse.node[:8]) if part),
        pid=pulse.pid,
        age=pulse.age,
        waits_for=pulse.waits_for,
        rung=len(values),
        tokens_per_second=pulse.tokens_per_second or _rate(trial, "tokens"),
        gpu_bytes=pulse.gpu_bytes,
        gpu_total=pulse.gpu_total,
    )


def ended_of(rows: Sequence[TrialRow], trials: Sequence[FrozenTrial], objective: str) -> list[Ended]:
    """All trials that have ended, in the order of their ends."""
    at = {trial.user_attrs["trial_id"]: trial.datetime_complete for trial in trials}
    ranks = {row.trial_id: rank for rank, row in enumerate(best_first(rows, objective), 1)}
    return [
        Ended(
            row.trial_id,
            row.state,
            _settings(row),
            row.steps,
            row.val_ce,
            ranks.get(row.trial_id),
            row.reason,
        )
        for row in sorted(rows, key=lambda row: at[row.trial_id].timestamp())
    ]


def best_of(rows: Sequence[TrialRow], objective: str) -> dict[str, Any] | None:
    """The best trial that was trained to its end: `trial_id`, `arm`, `val_ce`, `settings`."""
    for row in best_first(rows, objective):
        return {"trial_id": row.trial_id, "arm": row.arm, "val_ce": row.val_ce, "settings": _settings(row)}
    return None


def _settings(row: TrialRow) -> str:
    return settings_name(row.arm, row.origin, row.settings)


def trial_counts(
    rows: Sequence[TrialRow], trials: Sequence[FrozenTrial], planned: int | None, running: int
) -> dict[str, int | None]:
    """How many trials there are of each kind (`Status.trials`)."""
    paused = sum(trial.state == TrialState.RUNNING and bool(trial.user_attrs.get(PAUSED_AT)) for trial in trials)
    return {
        "planned": planned,
        **counts_of(rows),
        "running": running,
        "paused": paused,
        "waiting": len(trials) - len(rows) - running - paused,
        "to_come": None if planned is None else max(0, planned - len(trials)),
    }
