"""The ledger of a search: an Optuna study that knows every trial, its intermediate values and how it ended.

Trials are asked for and told here, and nowhere else. A trial ends COMPLETE (trained to the end), PRUNED (paused at a
rung, and not continued until the end) or FAILED (NaN, divergence, an error) with a reason. Everything that
`trials.parquet` and a resumed search need is in the study: a proposal is written in one operation, so that a process
killed at any moment leaves a trial that is not there at all, or one that can be resumed.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from palenka_tune.spaces.samplers import sampler_for, startup_point, startup_points
from palenka_tune.spaces.space import Space, label, settings_key
from palenka_tune.trials.arms import ARM, FIXED, ORIGIN, PROPOSED, STARTUP, UNSELECTED, Arm
from palenka_tune.trials.names import trial_id
from palenka_tune.trials.rows import (
    COMPLETE,
    FAILED,
    PAUSED_AT,
    PRUNED,
    STATES,
    TrialRow,
    best_of_arms,
    own_trials,
    rows_of,
)
from palenka_tune.trials.sentences import exhausted_sentence
from palenka_tune.trials.stopping import NoStopping, StoppingRule

# attributes of the study: optimiser steps of a whole training; trials of all arms; how many of these nothing pauses
TOTAL_STEPS, PLANNED, NEVER_PAUSED = "total_steps", "planned", "never_paused"
# attribute of a promoted trial: the step at which it was paused
PROMOTED_AT = "promoted_at"

# draws of one trial that may repeat known settings: by the sampler, then at random, before the next new one is taken
SAMPLER_DRAWS, RANDOM_DRAWS = 3, 20
# so far apart are the seeds of such draws: no other trial of an arm has them
SEED_STRIDE = 1_000_003
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proposal:
    """A trial to run: its id, its arm, its settings as {path: value}, and where they come from (`trials.arms`).

    `judged_until` is the step up to which a rung has let it continue: of a trial that was paused, that of the pause.
    """

    trial_id: str
    number: int
    values: dict[str, Any]
    arm: str
    origin: str
    judged_until: int = 0


class Ledger:
    """Ask and tell over a study with the trials of several arms.

    The fixed setting of each arm is proposed first, then the arms take turns in proportion to their samples. `rules`
    judge an arm's trials at rungs; an arm without one trains all to their ends. A study that has trials is continued:
    those that are RUNNING were interrupted, and are proposed again before anything new, but for those that are paused.
    """

    def __init__(
        self,
        study: optuna.Study,
        *,
        space: Space,
        sampler: str,
        arms: Sequence[Arm],
        seed: int,
        rules: Mapping[str, StoppingRule] | None = None,
        objective: str = "val_ce",
    ) -> None:
        self.study, self.space, self.sampler, self.seed = study, space, sampler, seed
        self.arms = {arm.name: arm for arm in arms}
        self.objective = objective
        self._running: dict[str, optuna.Trial] = {}
        self._again: list[Proposal] = []
        self._paused: dict[str, Proposal] = {}
        self._exhausted: set[str] = set()
        for trial in self._trials():
            if trial.state == TrialState.RUNNING:
                proposal = _proposal(trial)
                if trial.user_attrs.get(PAUSED_AT):
                    self._paused[proposal.trial_id] = proposal
                else:
                    self._again.append(proposal)
        self.judge_by(rules or {})

    def judge_by(self, rules: Mapping[str, StoppingRule]) -> None:
        """Judge the trials of each arm by these rules, which learn what was reported so far."""
        self._rules = {name: rules.get(name) or NoStopping((), 2) for name in self.arms}
        for trial in own_trials(self._trials()):
            for step, value in trial.intermediate_values.items():
                self._rules[trial.user_attrs[ARM]].report(trial.user_attrs["trial_id"], step, value)

    def ask(self) -> Proposal | None:
        """The next trial to run, or None when there is nothing to run for now.

        Interrupted trials come first, then a paused one that has come to be among the best of its rung, then a new one.
        A proposal that repeats a trial of its arm, whatever became of that, is drawn again. An arm whose space holds
        no other setting is exhausted, which is said once: it has fewer trials than samples.
        """
        if self._again:
            return self._start(self._again.pop(0))
        return self._promoted() or self._new()

    def _promoted(self) -> Proposal | None:
        for name, rule in self._rules.items():
            paused = {each.trial_id: each.judged_until for each in self._paused.values() if each.arm == name}
            ready = rule.promoted(paused)
            if ready is not None:
                proposal = self._start(self._paused.pop(ready))
                self._running[ready].set_user_attr(PROMOTED_AT, proposal.judged_until)
                self._running[ready].set_user_attr(PAUSED_AT, 0)
                return proposal
        return None

    def _new(self) -> Proposal | None:
        trials = self._trials()
        arm = self._next_arm(trials)
        if arm is None:
            return None
        drawn = self._draw(arm, trials)
        self.study.add_trial(drawn)
        return self._start(_proposal(drawn))

    def _next_arm(self, trials: Sequence[FrozenTrial]) -> Arm | None:
        """The arm whose turn it is: first those whose fixed setting is missing, then the one that is most behind."""
        fixed, drawn = self._counts(trials)
        for arm in self.arms.values():
            if arm.has_fixed and not fixed[arm.name]:
                return arm
        behind = [arm for arm in self.arms.values() if drawn[arm.name] < arm.samples]
        behind.sort(key=lambda arm: (drawn[arm.name] + 1) / arm.samples)
        return next((arm for arm in behind if not self._is_exhausted(arm, trials)), None)

    def _is_exhausted(self, arm: Arm, trials: Sequence[FrozenTrial]) -> bool:
        """Whether a trial has been made of every setting of the arm's space. It stays so, and is looked at no more."""
        if arm.name not in self._exhausted and _new_point(arm, trials) is None:
            self._exhausted.add(arm.name)
            size, (_, drawn) = sum(1 for _ in arm.space.points(arm.constants)), self._counts(trials)
            logger.info(exhausted_sentence(arm, size, drawn[arm.name]))
        return arm.name in self._exhausted

    def _counts(self, trials: Sequence[FrozenTrial]) -> tuple[Counter[str], Counter[str]]:
        """Fixed and other trials by arm."""
        own = own_trials(trials)
        fixed = Counter(trial.user_attrs[ARM] for trial in own if trial.user_attrs[ORIGIN] == FIXED)
        return fixed, Counter(trial.user_attrs[ARM] for trial in own if trial.user_attrs[ORIGIN] != FIXED)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _draw(self, arm: Arm, trials: list[FrozenTrial]) -> FrozenTrial:
        """The next trial of an arm that is not exhausted, RUNNING, not yet in the study: drawn in a copy of it in
        memory, which holds the trials of this arm alone. There a repetition is a failed trial, and drawn again."""
        number = len(trials)
        mine = [trial for trial in trials if trial.user_attrs[ARM] == arm.name]
        others = [trial for trial in mine if trial.user_attrs[ORIGIN] != FIXED]
        if arm.has_fixed and len(mine) == len(others):
            return _new_trial(number, dict(arm.constants), {ARM: arm.name, ORIGIN: FIXED})
        known = _known_keys(arm, trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy = optuna.create_study(direction="minimize")
            # what rests at a rung is for the sampler what was stopped there
            copy.add_trials([_as_pruned(trial) if trial.user_attrs.get(PAUSED_AT) else trial for trial in others])
            for origin, sampler, point in self._draws(arm, trials, len(mine)):
                copy.sampler = sampler
                if point is not None:
                    copy.enqueue_trial(point)
                trial = copy.ask()
                values = {**arm.constants, **arm.space.suggest(trial)}
                if settings_key(values) not in known:
                    attributes = {**_attributes(number, values), ARM: arm.name, ORIGIN: origin}
                    break
                copy.sampler = optuna.samplers.RandomSampler()  # a grid would end the copy
                copy.tell(trial, state=TrialState.FAIL)
        drawn = copy.get_trials(deepcopy=False)[-1]
        drawn.number = number
        for key, value in attributes.items():
            drawn.set_user_attr(key, value)
        return drawn

    def _draws(
        self, arm: Arm, trials: Sequence[FrozenTrial], number: int
    ) -> Iterator[tuple[str, BaseSampler, dict[str, Any] | None]]:
        """Where the arm's trial may come from, one draw after another until one is new: (origin, sampler, the point
        that the sampler is given). The last is new."""

        def sampler(name: str, draw: int) -> BaseSampler:
            # not by the number of all trials: how many other arms have follows from their values
            seed = number + draw * SEED_STRIDE
            return sampler_for(name, arm.space, seed=self.seed, number=seed, samples=arm.samples)

        tried = sum(trial.user_attrs[ARM] == arm.name and trial.user_attrs[ORIGIN] == STARTUP for trial in trials)
        for point in range(tried, startup_points(self.sampler, arm.samples)):
            yield STARTUP, sampler(self.sampler, 0), self._startup_point(point, arm.space)
        for draw in range(SAMPLER_DRAWS):
            yield PROPOSED, sampler(self.sampler, draw), None
        for draw in range(SAMPLER_DRAWS, SAMPLER_DRAWS + RANDOM_DRAWS):
            yield PROPOSED, sampler("random", draw), None
        new = _new_point(arm, trials) or {}
        labels = {each.name: label(new[each.name]) for each in arm.space.parameters if each.name in new}
        yield PROPOSED, sampler("random", 0), labels

    def _startup_point(self, number: int, space: Space) -> dict[str, Any]:
        """What of the start-up point `number`, which all arms share, lies in the space of one of them."""
        whole = optuna.create_study()
        whole.enqueue_trial(startup_point(self.space, seed=self.seed, number=number))
        trial = whole.ask()
        self.space.suggest(trial)
        names = {parameter.name for parameter in space.parameters}
        return {name: value for name, value in trial.params.items() if name in names}

    def _start(self, proposal: Proposal) -> Proposal:
        number = proposal.number
        self._running[proposal.trial_id] = optuna.Trial(self.study, self._trials()[number]._trial_id)
        return proposal

    def report(self, trial_id: str, step: int, value: float) -> None:
        """Record `val_ce` at a step (once: the first value of a step counts)."""
        trial = self._running[trial_id]
        known = self._trials()[trial.number]
        if step not in known.intermediate_values:
            trial.report(value, step)
            self._rules[known.user_attrs[ARM]].report(trial_id, step, value)

    def judge(self, trial_id: str, step: int, value: float) -> bool:
        """Whether a trial trains on that reports `value` at `step`: an unselected one always does, another if the rule
        of its arm lets it."""
        attrs = self._trials()[self._running[trial_id].number].user_attrs
        rule = self._rules[attrs[ARM]]
        rule.report(trial_id, step, value)
        return attrs[ORIGIN] in UNSELECTED or rule.continues(trial_id, step)

    def note(
        self,
        trial_id: str,
        *,
        steps: int,
        tokens: int,
        seconds: float,
        parameters: int | None = None,
        measured: Mapping[str, float] | None = None,
    ) -> None:
        """Keep how far a running trial is, and what was `measured` of it beside val_ce ({"val_total": 3.2, ...})."""
        progress = {"steps": steps, "tokens": tokens, "seconds": seconds, "measured": dict(measured or {})}
        if parameters is not None:
            progress["parameters"] = parameters
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

    def pause(self, trial_id: str, step: int) -> None:
        """Let a running trial rest at a rung: it stays RUNNING in the study, and is not asked for unless promoted."""
        trial = self._running.pop(trial_id)
        trial.set_user_attr(PAUSED_AT, step)
        self._paused[trial_id] = _proposal(self._trials()[trial.number])

    def settle(self) -> dict[str, str]:
        """End all trials that are still paused, as PRUNED; returns {id: reason}."""
        settled = {}
        for name, proposal in self._paused.items():
            settled[name] = f"{self._rules[proposal.arm].name} paused it at step {proposal.judged_until}"
            self._start(proposal)
            self.finish(name, PRUNED, settled[name])
        self._paused = {}
        return settled

    def promote(self, count: int, step: int) -> list[str]:
        """Have the best `count` PRUNED trials of a finished search trained on to their ends; returns their ids.

        A trial that has ended stays as it is in a study, so each gets a new record, which takes its place. No rung up
        to `step` judges them again.
        """
        known = {trial.user_attrs["trial_id"]: trial for trial in own_trials(self._trials())}
        rows = [row for row in self.rows() if row.state == PRUNED and row.curve]
        chosen = sorted(rows, key=lambda row: (-max(row.curve), row.ce, row.trial_id))[:count]
        for row in chosen:
            trial = known[row.trial_id]
            attrs = {name: value for name, value in trial.user_attrs.items() if name not in (PAUSED_AT, "reason")}
            record = optuna.create_trial(
                state=TrialState.RUNNING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={**attrs, PROMOTED_AT: step},
                system_attrs=trial.system_attrs,
                intermediate_values=dict(trial.intermediate_values),
            )
            record.number = len(self._trials())
            self.study.add_trial(record)
            self._again.append(_proposal(self._trials()[-1]))
        return [row.trial_id for row in chosen]

    def leave(self, trial_id: str) -> None:
        """Let go of a trial that was interrupted: it stays RUNNING, and a resumed search continues it."""
        del self._running[trial_id]

    def again(self, trial_id: str) -> None:
        """Let go of a running trial whose process is gone; it is the next one to be asked for."""
        number = self._running.pop(trial_id).number
        self._again.append(_proposal(self._trials()[number]))

    @property
    def running(self) -> list[str]:
        """Ids of the trials that were asked for and not yet told or left."""
        return list(self._running)

    @property
    def waiting(self) -> list[str]:
        """Ids of interrupted trials that were not proposed again yet."""
        return [proposal.trial_id for proposal in self._again]

    @property
    def paused(self) -> list[str]:
        """Ids of the trials that rest at a rung."""
        return list(self._paused)

    def keepers(self) -> list[str]:
        """Ids of the finished trials whose weights are needed: the best COMPLETE one of each arm at the end, and those
        that were paused, which may be promoted later."""
        rows = self.rows()
        best = [row.trial_id for row in best_of_arms(rows, self.objective).values()]
        return [*best, *(row.trial_id for row in rows if row.state == PRUNED)]

    @property
    def remaining(self) -> bool:
        """Whether trials are left to run, as far as one can tell without proposing them."""
        trials = own_trials(self._trials())
        unfinished = any(trial.state == TrialState.RUNNING for trial in trials)
        return unfinished or self._next_arm(self._trials()) is not None

    def rows(self) -> list[TrialRow]:
        """A row per finished trial, in the order in which they were proposed."""
        return rows_of(self._trials())

    def proposed(self) -> list[tuple[Proposal, TrialRow]]:
        """Every trial that was proposed, those that run or rest too, in order, and how far it came."""
        return [(_proposal(trial), TrialRow.of(trial)) for trial in own_trials(self._trials())]


def _known_keys(arm: Arm, trials: Sequence[FrozenTrial]) -> set[str]:
    """The keys of the settings of an arm that were trained, run, failed, or are its fixed setting."""
    mine = (trial for trial in trials if trial.user_attrs[ARM] == arm.name and trial.user_attrs[ORIGIN] != FIXED)
    return arm.fixed_keys | {settings_key(trial.user_attrs["values"]) for trial in mine}


def _new_point(arm: Arm, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """A setting of the arm's space that no trial has, None if there is none."""
    known = _known_keys(arm, trials)
    return next((point for point in arm.space.points(arm.constants) if settings_key(point) not in known), None)


def _attributes(number: int, values: Mapping[str, Any]) -> dict[str, Any]:
    # as a study gives them back: the keys of an explicit layer map are text
    return {"trial_id": trial_id(number), "values": json.loads(json.dumps(values))}


def _new_trial(number: int, values: Mapping[str, Any], attributes: Mapping[str, Any]) -> FrozenTrial:
    trial = optuna.create_trial(
        state=TrialState.RUNNING, user_attrs={**_attributes(number, values), **attributes}, system_attrs={}
    )
    trial.number = number
    return trial


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """A paused trial as one that was stopped where it rests."""
    return optuna.create_trial(
        state=TrialState.PRUNED,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=dict(trial.intermediate_values),
    )


def _proposal(trial: FrozenTrial) -> Proposal:
    attrs = trial.user_attrs
    judged = attrs.get(PAUSED_AT) or attrs.get(PROMOTED_AT) or 0
    return Proposal(attrs["trial_id"], trial.number, dict(attrs["values"]), attrs[ARM], attrs[ORIGIN], judged)
