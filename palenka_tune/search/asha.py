"""ASHA (Li et al. 2020) as a search needs it: Ray's scheduler, with anchors that finish and NaN that never counts.

Trials report exactly at the rungs (`rung_steps`), so that none is judged by a later value than the others.
"""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from palenka_tune.search.rungs import rung_steps


class RungScheduler(AsyncHyperBandScheduler):
    """Stops a trial at a rung unless it is among the best 1/`reduction` there; `pruned` holds the ids it stopped."""

    def __init__(self, *, total_steps: int, rungs: int, reduction: int) -> None:
        steps = rung_steps(total_steps, rungs, reduction)
        super().__init__(
            time_attr="steps",
            metric="val/ce",
            mode="min",
            max_t=max(total_steps, steps[0] + 1),
            grace_period=steps[0],
            reduction_factor=reduction,
            brackets=1,
            stop_last_trials=False,
        )
        self._total_steps = total_steps
        self._prunes = rungs > 0
        self.pruned: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get("failed"):
            return str(TrialScheduler.STOP)
        decision = str(super().on_trial_result(tune_controller, trial, result))
        ends = result["steps"] >= self._total_steps
        if decision == TrialScheduler.STOP and (ends or not self._prunes or trial.config.get("anchor")):
            return str(TrialScheduler.CONTINUE)
        if decision == TrialScheduler.STOP:
            self.pruned.add(trial.config["trial_id"])
        return decision
