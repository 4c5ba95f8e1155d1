"""The ledger of a search: an Optuna study that knows every trial, its intermediate values and how it ended.

Trials are asked for and told here, and nowhere else. A trial ends COMPLETE (trained to the end), PRUNED (stopped by
ASHA, with the values it had reached) or FAILED (NaN, divergence, an error) with a reason. Everything that
`trials.parquet` and a resumed search need is in the study: a proposal is written in one operation, so that a process
killed at any moment leaves a trial that is not there at all, or one that can go on.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from palenka_tune.spaces.samplers import sampler_for
from palenka_tune.spaces.space import Space, effective, label
from palenka_tune.trials.arms import ANCHOR
from palenka_tune.trials.names import trial_id
from palenka_tune.trials.rows import COMPLETE, FAILED, STATES, TrialRow, best_first, own_trials, rows_of

# attribute of the study: optimiser steps of a whole training
TOTAL_STEPS = "total_steps"

# tries in a row that may only repeat known settings before the space counts as exhausted
MAX_REPEATS = 50


@dataclass(frozen=True)
class Proposal:
    """A trial to run: its id, its settings as {path: value}, and the anchor that it is, if any."""

    trial_id: str
    number: int
    values: dict[str, Any]
    anchor: str | None


class Ledger:
    """Ask and tell over a study of `samples` proposed trials and the anchors.

    `anchors` maps each anchor's name to its settings; they are proposed first. A study that has trials is
    continued: those that are RUNNING were interrupted, and are proposed again before anything new.
    """

    def __init__(
        self,
        study: optuna.Study,
        *,
        space: Space,
        sampler: str,
        samples: int,
        seed: int,
        anchors: Mapping[str, Mapping[str, float]],
        objective: str = "val_ce",
        started: float | None = None,
    ) -> None:
        self.study, self.space, self.sampler, self.samples, self.seed = study, space, sampler, samples, seed
        self.objective = objective
        self.anchors = {anchor: dict(values) for anchor, values in anchors.items()}
        self._running: dict[str, optuna.Trial] = {}
        self._again = [_proposal(trial) for trial in self._trials() if trial.state == TrialState.RUNNING]
        self._seconds_before = float(study.user_attrs.get("seconds", 0.0))
        self._started = time.monotonic() if started is None else started

    def ask(self) -> Proposal | None:
        """The next trial to run, or None when all samples are proposed or the space holds nothing new.

        A proposal that repeats a finished trial takes over its result and is not run; one that repeats a running trial
        is dropped. Neither counts as a sample.
        """
        if self._again:
            return self._start(self._again.pop(0))
        for _ in range(MAX_REPEATS):
            trials = self._trials()
            if len(own_trials(trials)) >= self.samples + len(self.anchors):
                return None
            drawn = self._draw(trials)
            values = drawn.user_attrs["values"]
            known = None if ANCHOR in drawn.user_attrs else self._known(trials, values)
            if known is None:
                self.study.add_trial(drawn)
                return self._start(_proposal(drawn))
            self.study.add_trial(_repetition(drawn, known))
        return None

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _draw(self, trials: list[FrozenTrial]) -> FrozenTrial:
        """The next trial, RUNNING, not yet in the study: drawn in a copy of it in memory."""
        number = len(trials)
        for anchor, values in self.anchors.items():
            if all(trial.user_attrs.get(ANCHOR) != anchor for trial in trials):
                return _new_trial(number, values, {ANCHOR: anchor})
        sampler = sampler_for(self.sampler, self.space, seed=self.seed, number=number, samples=self.samples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy = optuna.create_study(direction="minimize", sampler=sampler)
            copy.add_trials(
                [trial for trial in trials if ANCHOR not in trial.user_attrs]
            )  # anchors lie outside the space
            values = self.space.suggest(copy.ask())
        drawn = copy.get_trials(deepcopy=False)[-1]
        drawn.number = number
        for key, value in _attributes(number, values).items():
            drawn.set_user_attr(key, value)
        return drawn

    def _known(self, trials: list[FrozenTrial], values: Mapping[str, Any]) -> FrozenTrial | None:
        key = settings_key(values)
        return next((t for t in own_trials(trials) if settings_key(t.user_attrs.get("values", {})) == key), None)

    def _start(self, proposal: Proposal) -> Proposal:
        number = proposal.number
        self._running[proposal.trial_id] = optuna.Trial(self.study, self._trials()[number]._trial_id)
        return proposal

    def report(self, trial_id: str, step: int, value: float) -> None:
        """Record `val_ce` at a step (once: the first value of a step counts)."""
        trial = self._running[trial_id]
        if step not in self._trials()[trial.number].intermediate_values:
            trial.report(value, step)

    def note(
        self, trial_id: str, *, steps: int, tokens: int, seconds: float, measured: Mapping[str, float] | None = None
    ) -> None:
        """Keep how far a running trial is, and what was `measured` of it beside val_ce ({"val_total": 3.2, ...})."""
        progress = {"steps": steps, "tokens": tokens, "seconds": seconds, "measured": dict(measured or {})}
        self._running[trial_id].set_user_attr("progress", progress)

    def finish(self, trial_id: str, state: str, reason: str | None = None) -> None:
        """End a trial; the value of a COMPLETE or PRUNED one is its last report, and one without any has failed."""
        trial = self._running.pop(trial_id)
        values = self._trials()[trial.number].intermediate_values
        if state != FAILED and not values:
            state, reason = FAILED, "it reported no val_ce"
        if reason:
            trial.set_user_attr("reason", reason)
        if state == COMPLETE:
            self.study.tell(trial, values[max(values)])
        else:
            self.study.tell(trial, state=STATES[state])
        self.study.set_user_attr("seconds", self.seconds)

    def leave(self, trial_id: str) -> None:
        """Let go of a trial that was interrupted: it stays RUNNING, and a resumed search continues it."""
        del self._running[trial_id]

    def again(self, trial_id: str) -> None:
        """Let go of a running trial whose process is gone; it is the next one to be asked for."""
        number = self._running.pop(trial_id).number
        self._again.append(_proposal(self._trials()[number]))

    @property
    def seconds(self) -> float:
        """Seconds that were spent on the search, in all processes that went on with it."""
        return round(self._seconds_before + time.monotonic() - self._started, 1)

    @property
    def running(self) -> list[str]:
        """Ids of the trials that were asked for and not yet told or left."""
        return list(self._running)

    @property
    def waiting(self) -> list[str]:
        """Ids of interrupted trials that were not proposed again yet."""
        return [proposal.trial_id for proposal in self._again]

    def keepers(self) -> list[str]:
        """Ids of the trials whose weights are needed at the end: the best that is COMPLETE, and the anchors."""
        complete = [row for row in self.rows() if row.state == COMPLETE]
        best = best_first(complete, self.objective)[:1]
        return [row.trial_id for row in complete if row.anchor or row in best]

    @property
    def remaining(self) -> bool:
        """Whether trials are left to run, as far as one can tell without proposing them."""
        finished = sum(trial.state.is_finished() for trial in own_trials(self._trials()))
        return finished < self.samples + len(self.anchors)

    def curves(self) -> dict[str, dict[int, float]]:
        """{trial_id: {step: val_ce}} that every trial has reported, finished or not, from which rungs are rebuilt."""
        return {trial.user_attrs["trial_id"]: dict(trial.intermediate_values) for trial in own_trials(self._trials())}

    def rows(self) -> list[TrialRow]:
        """A row per finished trial, in the order in which they were proposed."""
        return rows_of(self._trials())


def _attributes(number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    # as a study gives them back: the keys of an explicit layer map are text
    return {"trial_id": trial_id(number), "values": json.loads(json.dumps(values))}


def _new_trial(number: int, values: Mapping[str, Any], attributes: Mapping[str, Any]) -> FrozenTrial:
    trial = optuna.create_trial(
        state=TrialState.RUNNING, user_attrs={**_attributes(number, values), **attributes}, system_attrs={}
    )
    trial.number = number
    return trial


def _repetition(drawn: FrozenTrial, known: FrozenTrial) -> FrozenTrial:
    """`drawn`, ended as `known` ended; what repeats a running trial has no result to take over and fails."""
    state = known.state if known.state.is_finished() else TrialState.FAIL
    return optuna.create_trial(
        state=state,
        value=known.value if state == TrialState.COMPLETE else None,
        params=drawn.params,
        distributions=drawn.distributions,
        user_attrs={**drawn.user_attrs, "duplicate_of": known.user_attrs["trial_id"]},
        system_attrs=drawn.system_attrs,
        intermediate_values=dict(known.intermediate_values),
    )


def _proposal(trial: FrozenTrial) -> Proposal:
    attrs = trial.user_attrs
    return Proposal(attrs["trial_id"], trial.number, dict(attrs["values"]), attrs.get(ANCHOR))


def settings_key(values: Mapping[str, Any]) -> str:
    """Equal for settings that train the same student, whatever their order: 0 and 0.0, or any rank when beta is 0."""
    numbers = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else label(value)
        for name, value in effective(values).items()
    }
    return json.dumps(numbers, sort_keys=True)
