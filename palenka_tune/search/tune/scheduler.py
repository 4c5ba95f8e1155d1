"""Ray Tune's scheduler of a search: it stops the trials that a stopping rule does not let continue."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from palenka_tune.trials.metrics import VAL_CE
from palenka_tune.trials.stopping import StoppingRule


class RungScheduler(FIFOScheduler):
    """Stops trials by `rule`, but no anchor; `pruned` holds the ids it stopped.

    Trials report exactly at the rungs, so that none is judged by a later value than the others. A result that has
    `failed` or was `interrupted` ends its trial and is no value of a rung.
    """

    def __init__(self, rule: StoppingRule) -> None:
        super().__init__()
        self.rule = rule
        self.pruned: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get("failed") or result.get("interrupted"):
            return str(TrialScheduler.STOP)
        if VAL_CE not in result:
            return str(TrialScheduler.CONTINUE)
        trial_id = trial.config["trial_id"]
        continues = self.rule.continues(trial_id, int(result["steps"]), float(result[VAL_CE]))
        if continues or trial.config.get("anchor"):
            return str(TrialScheduler.CONTINUE)
        self.pruned.add(trial_id)
        return str(TrialScheduler.STOP)
