"""ASHA as Ray Tune's scheduler: stops a trial that a rung does not let go on."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from palenka_tune.trials.metrics import VAL_CE
from palenka_tune.trials.rungs import Rungs


class RungScheduler(FIFOScheduler):
    """Stops trials by `rungs` (None: nobody), but no anchor; `pruned` holds the ids it stopped.

    Trials report exactly at the rungs, so that none is judged by a later value than the others. A result that has
    `failed` or was `interrupted` ends its trial and is no value of a rung.
    """

    def __init__(self, rungs: Rungs | None) -> None:
        super().__init__()
        self._rungs = rungs
        self.pruned: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get("failed") or result.get("interrupted"):
            return str(TrialScheduler.STOP)
        if self._rungs is None or VAL_CE not in result:
            return str(TrialScheduler.CONTINUE)
        trial_id = trial.config["trial_id"]
        goes_on = self._rungs.goes_on(trial_id, int(result["steps"]), float(result[VAL_CE]))
        if goes_on or trial.config.get("anchor"):
            return str(TrialScheduler.CONTINUE)
        self.pruned.add(trial_id)
        return str(TrialScheduler.STOP)
