"""Ray Tune's scheduler of a search: it ends the Tune trials whose students rest at a rung."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from palenka_tune.trials.metrics import VAL_CE


class RungScheduler(FIFOScheduler):
    """Pauses the trials that `continues(trial_id, step)` does not let train on; `paused` holds {trial_id: step}.

    Trials report exactly at the rungs, so that none is judged by a later value than the others. A result that has
    `failed` or was `interrupted` ends its trial and is no value of a rung. What a trial does not report now it was let
    through before (`judged_until`). `errors` holds what Ray says of trials that ended with an error.
    """

    def __init__(self, continues: Callable[[str, int, float], bool]) -> None:
        super().__init__()
        self.continues = continues
        self.paused: dict[str, int] = {}
        self.errors: dict[str, str] = {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get("failed") or result.get("interrupted"):
            return str(TrialScheduler.STOP)
        trial_id, step = trial.config["trial_id"], int(result["steps"])
        judged = step <= trial.config["judged_until"] or result.get("done")
        if VAL_CE not in result or self.continues(trial_id, step, float(result[VAL_CE])) or judged:
            return str(TrialScheduler.CONTINUE)
        self.paused[trial_id] = step
        return str(TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.errors[trial.config["trial_id"]] = str(trial.get_error() or "")
