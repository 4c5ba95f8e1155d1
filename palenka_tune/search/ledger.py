"""The ledger of a search: an Optuna study that knows every trial, its intermediate values and how it ended.

Trials are asked for and told here, and nowhere else. A trial ends COMPLETE (trained to the end), PRUNED (stopped by
ASHA, with the values it had reached) or FAILED (NaN, divergence, an error) with a reason. Everything that
`trials.parquet` and a later resume need is in the study.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from palenka_tune.search.samplers import ANCHOR, sampler_for
from palenka_tune.search.space import Space, effective, label

COMPLETE, PRUNED, FAILED = "COMPLETE", "PRUNED", "FAILED"
STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}

ANCHORS = ("no_distillation", "vanilla_kd")

# tries in a row that may only repeat known settings before the space counts as exhausted
MAX_REPEATS = 50


def anchor_values(alpha: float) -> dict[str, dict[str, float]]:
    """The settings of each anchor; vanilla KD keeps the fixed `alpha`, or 1 where that is 0."""
    return {"no_distillation": {"alpha": 0.0, "beta": 0.0}, "vanilla_kd": {"alpha": alpha or 1.0, "beta": 0.0}}


@dataclass(frozen=True)
class Proposal:
    """A trial to run: its id, its settings as {path: value}, and the anchor that it is, if any."""

    trial_id: str
    number: int
    values: dict[str, Any]
    anchor: str | None


class Ledger:
    """Ask and tell over one study of `samples` proposed trials and the anchors.

    `anchors` maps each anchor's name to its settings; the first ones proposed.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        space: Space,
        sampler: str,
        samples: int,
        seed: int,
        anchors: Mapping[str, Mapping[str, float]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.sampler, self.samples, self.seed = space, sampler, samples, seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = JournalStorage(JournalFileBackend(str(path)))
        self.study = optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
        self.anchors = {anchor: dict(values) for anchor, values in anchors.items()}
        self._running: dict[str, optuna.Trial] = {}
        if not self.study.trials:
            for anchor in self.anchors:
                self.study.enqueue_trial({}, user_attrs={ANCHOR: anchor})

    def ask(self) -> Proposal | None:
        """The next trial to run, or None when all samples are proposed or the space holds nothing new.

        A proposal that repeats a finished trial takes over its result and is not run; one that repeats a running trial
        is dropped. Neither counts as a sample.
        """
        for _ in range(MAX_REPEATS):
            if sum(1 for trial in self._own() if trial.state != TrialState.WAITING) >= self.samples + len(self.anchors):
                return None
            proposal, trial = self._draw()
            known = None if proposal.anchor else self._known(proposal)
            if known is None:
                self._running[proposal.trial_id] = trial
                trial.set_user_attr("trial_id", proposal.trial_id)
                trial.set_user_attr("values", proposal.values)
                return proposal
            self._copy(known, trial)
        return None

    def _own(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that were or will be run: all but repetitions."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if "duplicate_of" not in trial.user_attrs]

    def _draw(self) -> tuple[Proposal, optuna.Trial]:
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = sampler_for(self.sampler, self.space, seed=self.seed, number=number, samples=self.samples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self.study.ask()
            anchor = trial.user_attrs.get(ANCHOR)
            values = dict(self.anchors[anchor]) if anchor else self.space.suggest(trial)
        return Proposal(f"trial-{trial.number:04d}", trial.number, values, anchor), trial

    def _known(self, proposal: Proposal) -> optuna.trial.FrozenTrial | None:
        key = settings_key(proposal.values)
        for trial in self._own():
            if trial.number != proposal.number and settings_key(trial.user_attrs.get("values", {})) == key:
                return trial
        return None

    def _copy(self, known: optuna.trial.FrozenTrial, trial: optuna.Trial) -> None:
        """End `trial` as `known` ended; a repetition of a running trial has no result to take over and fails."""
        trial.set_user_attr("duplicate_of", known.user_attrs["trial_id"])
        for step, value in known.intermediate_values.items():
            trial.report(value, step)
        if known.state == TrialState.COMPLETE:
            self.study.tell(trial, known.value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED if known.state == TrialState.PRUNED else TrialState.FAIL)

    def report(self, trial_id: str, step: int, value: float) -> None:
        """Record `val/ce` at a step (once: the first value of a step counts)."""
        trial = self._running[trial_id]
        trial.report(value, step)

    def note(self, trial_id: str, **facts: Any) -> None:
        """Keep facts about a running trial: steps, tokens, seconds, reason."""
        for name, value in facts.items():
            self._running[trial_id].set_user_attr(name, value)

    def finish(self, trial_id: str, state: str, reason: str | None = None) -> None:
        """End a trial; the value of a COMPLETE or PRUNED one is its last report, and one without any has failed."""
        trial = self._running.pop(trial_id)
        values = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        if state != FAILED and not values:
            state, reason = FAILED, "it reported no val/ce"
        if reason:
            trial.set_user_attr("reason", reason)
        if state == COMPLETE:
            self.study.tell(trial, values[max(values)])
        else:
            self.study.tell(trial, state=STATES[state])

    @property
    def running(self) -> list[str]:
        """Ids of the trials that were asked for and not yet told."""
        return list(self._running)

    def rows(self) -> list[dict[str, Any]]:
        """A row per finished trial, in the order in which they were proposed."""
        names = {state: name for name, state in STATES.items()}
        rows = []
        for trial in self._own():
            if trial.state not in names:
                continue
            attrs, values = trial.user_attrs, trial.intermediate_values
            rows.append(
                {
                    "trial_id": attrs["trial_id"],
                    "state": names[trial.state],
                    "anchor": attrs.get(ANCHOR),
                    "values": attrs["values"],
                    "curve": {step: values[step] for step in sorted(values)},
                    "val_ce": values[max(values)] if values else None,
                    "val_ce_best": min(values.values()) if values else None,
                    "steps": attrs.get("steps", 0),
                    "tokens": attrs.get("tokens", 0),
                    "seconds": attrs.get("seconds", 0.0),
                    "reason": attrs.get("reason"),
                }
            )
        return rows


def settings_key(values: Mapping[str, Any]) -> str:
    """Equal for settings that train the same student, whatever their order: 0 and 0.0, or any rank when beta is 0."""
    numbers = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else label(value)
        for name, value in effective(values).items()
    }
    return json.dumps(numbers, sort_keys=True)
