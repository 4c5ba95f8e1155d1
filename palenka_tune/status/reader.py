"""The status of a search, read from its study and its files: what it does now, or how it ended.

A `StatusReader` takes a run's folder, from any machine that sees it, and the URL of its study if that is in a
database; each look gives a `Status`, plain data. It takes no lock and changes nothing, so that it may look again and
again while the search runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from palenka_tune.runs.ahead import AfterTrials
from palenka_tune.runs.cost import SECONDS, TRIALS, Cost, costs, wall_seconds
from palenka_tune.runs.place import PLACE, resume_command
from palenka_tune.runs.study import damage_of, finalists_missing, open_study, reading
from palenka_tune.runs.summary import SUMMARY
from palenka_tune.spaces.settings import SearchSettings, objective_name
from palenka_tune.status.files import Pulse, RunFiles, Work, Writer
from palenka_tune.status.trials import Ended, Running, Speed, best_of, ended_of, running_of, trial_counts
from palenka_tune.storage import mirror
from palenka_tune.storage.snapshot import Snapshot
from palenka_tune.tracking.glance import SpoolGlance, Tracking
from palenka_tune.tracking.ship import replay_command
from palenka_tune.tracking.tags import PARENT
from palenka_tune.trials.ledger import NEVER_PAUSED, PLANNED, TOTAL_STEPS
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED_AT, TrialRow, best_of_arms, budget_of, own_trials, rows_of
from palenka_tune.trials.rungs import rung_steps
from palenka_tune.trials.stopping import expected_share
from palenka_tune.words import clock

Stage = Literal["preparing", "searching", "scoring", "finalists", "finished"]
State = Literal["preparing", "searching", "scoring", "finalists", "finished", "stopped", "failed", "killed", "silent"]
ENDS: Mapping[str | None, tuple[State, str]] = {  # by the status of the search's run in MLflow
    "KILLED": ("stopped", "it was asked to stop"),
    "FAILED": ("failed", "it ended with an error"),
}
LITTLE_SPACE = 1e9  # bytes
MLFLOW_PATIENCE = 60.0  # seconds that an event may wait for MLflow before it is worth a word
STALL_MINUTES = 20.0


@dataclass(frozen=True)
class Status:
    """A search at one moment. `state` is its `stage` while it runs, or how it stopped: stopped (by a signal), failed
    (with an error), killed (without a word), silent (nothing moves, and its lock cannot be seen from here); `why` says
    how that is known. Times are in seconds; val/ce in nats per token.

    `trials` counts: planned, complete, pruned, failed, running, paused, waiting (interrupted), to_come. `ended` are the
    trials that ended, in the order of their ends; `rungs` the steps at which trials may be paused, and the last one.
    `arms` is the best val/ce of each arm. `resume`
    is the command that continues the search, if it neither runs nor is finished. `left` are the seconds until all of it
    is done, `costs` what each stage has taken so far.
    """

    run: str
    folder: str
    storage: str
    at: float
    state: State
    stage: Stage
    why: str
    writer: Writer
    age: float | None
    trials: dict[str, int | None] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    rungs: list[int] = field(default_factory=list)
    under_way: list[Work] = field(default_factory=list)
    finalists_done: int = 0
    best: dict[str, Any] | None = None
    arms: dict[str, float | None] = field(default_factory=dict)
    budget: dict[str, float | None] = field(default_factory=dict)
    elapsed: float | None = None
    left: float | None = None
    costs: list[Cost] = field(default_factory=list)
    tokens_per_second: float | None = None
    verdict: str | None = None
    mlflow: Tracking | None = None
    warnings: list[str] = field(default_factory=list)
    resume: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether a process works on it, as far as one can tell."""
        return self.state == self.stage != "finished"


class StatusReader:
    """Looks at the search in `folder`; `url` is where its study is, if that is in a database, and `snapshot` what
    copies the folder from a remote storage. `study` is the study itself, if the caller has it open."""

    def __init__(
        self,
        folder: Path,
        storage: Path,
        url: str | None = None,
        snapshot: Snapshot | None = None,
        study: optuna.Study | None = None,
    ) -> None:
        self.folder, self.storage, self.url, self.snapshot = folder, storage, url, snapshot
        self.study = study
        """The study that was last looked at; None if there is none yet."""
        self.shown = (mirror.shown(folder), mirror.shown(storage))
        if snapshot is not None:
            self.shown = (f"{snapshot.remote.url}/{snapshot.key}", snapshot.remote.url)
        self.files = RunFiles(folder, storage, snapshot)
        self._spool = SpoolGlance(folder, PARENT)

    def look(self) -> Status:
        """The search as it is now; raises `UserError` or `PalenkaError` if its study cannot be found or read."""
        if self.snapshot is not None:
            self.snapshot.refresh()
        if self.study is None:
            self.study = open_study(self.folder, self.url, read_only=True)
        attrs: dict[str, Any] = {}
        trials: list[FrozenTrial] = []
        if self.study is not None:
            with reading(self.url):
                attrs = self.study.user_attrs
                trials = own_trials(self.study.get_trials(deepcopy=False))
        files, tracking, now = self.files, self._spool.look(), time.time()
        asked: dict[str, Any] = yaml.safe_load(attrs["search"]["yaml"])["search"] if "search" in attrs else {}
        rows, writer, age = rows_of(trials), files.writer(), files.moved()
        summary = files.json(SUMMARY) or {}
        planned = attrs.get(PLANNED)
        stage = _stage(attrs, asked, rows, trials, planned, summary)
        stall = 60 * asked.get("stall_minutes", STALL_MINUTES)
        state, why = _state(stage, writer, age, stall, tracking)
        alive, finished = state == stage != "finished", state == "finished"
        total_steps = attrs.get(TOTAL_STEPS) or max((r.steps for r in rows if r.state == COMPLETE), default=None)
        begun = [trial for trial in trials if trial.state == TrialState.RUNNING]
        unfinished = [trial for trial in begun if alive and not trial.user_attrs.get(PAUSED_AT)]
        # one that rests at a rung may never go on: as far as it came counts as all of it
        reached = [*rows, *(TrialRow.of(trial) for trial in begun if trial.user_attrs.get(PAUSED_AT))]
        pulses = [(trial, self._pulse(trial)) for trial in unfinished]
        running = [running_of(trial, pulse, total_steps) for trial, pulse in pulses if pulse is not None]
        ahead = AfterTrials.of(attrs)
        free = min(ahead.at_a_time, max(0, (planned or 0) - len(reached))) - len(running) if ahead else 0
        speed = Speed(trials, running, awaited=max(0, free))
        done, scored, finalists = files.finalists()
        found = costs(attrs, rows, total_steps)
        rungs = _rungs(asked, total_steps)
        share = expected_share(rungs, asked.get("stopping", "asha"), asked.get("reduction", SearchSettings.reduction))
        steps_left = speed.steps_left(reached, planned, attrs.get(NEVER_PAUSED, 0), rungs, share)
        in_trials = attrs.get(SECONDS, {}).get(TRIALS)
        rate = (
            speed.steps if stage == "searching" else sum(row.steps for row in rows) / in_trials if in_trials else None
        )
        done_part = done + sum(work.done for work in finalists)
        under_way = files.preparing() if stage == "preparing" else finalists if stage == "finalists" else []
        objective = objective_name(asked.get("objective", "val_ce"))
        return Status(
            run=self.folder.name,
            folder=self.shown[0],
            storage=self.shown[1],
            at=now,
            state=state,
            stage=stage,
            why=why,
            writer=writer,
            age=age,
            trials=trial_counts(rows, trials, planned, len(running)),
            running=running,
            ended=ended_of(rows, trials, objective),
            rungs=rungs,
            under_way=[work for work in under_way if not alive or stage == "finalists" or work.age < stall],
            finalists_done=done,
            best=best_of(rows, objective),
            arms={arm: row.val_ce for arm, row in best_of_arms(rows, objective).items()},
            budget=budget_of(reached, total_steps),
            elapsed=wall_seconds(attrs) or summary.get("wall_seconds"),
            left=_left(stage, steps_left, ahead, done_part, scored, rate) if alive else None,
            costs=found,
            tokens_per_second=speed.tokens if running else None,
            verdict=(summary.get("verdict") or {}).get("sentence"),
            mlflow=tracking,
            warnings=[
                *self._damage(),
                *_trial_warnings(running, rows, stall),
                *self._mlflow_warnings(tracking, alive, finished),
                *self._space_warnings(),
            ],
            resume=None if alive or finished else resume_command(self.folder.name, self.shown[1], attrs.get(PLACE, {})),
        )

    def _pulse(self, trial: FrozenTrial) -> Pulse | None:
        """A trial's pulse, if it is of the process that works now; without one the trial waits to be resumed."""
        pulse, began = self.files.pulse(trial.user_attrs["trial_id"]), self.files.began()
        return pulse if pulse is not None and (began is None or pulse.time >= began - 1) else None

    def _damage(self) -> Iterator[str]:
        if self.study is not None and (damage := damage_of(self.study)) is not None:
            yield f"{damage}; what follows is not shown"

    def _mlflow_warnings(self, tracking: Tracking | None, alive: bool, finished: bool) -> Iterator[str]:
        # a search that is finished still sends its last events for a moment
        patience = MLFLOW_PATIENCE if alive or finished else -1.0
        if tracking is not None and tracking.behind and tracking.waits > patience:
            more = "" if alive else f"; send them with: {replay_command(self.folder)}"
            yield f"MLflow has not got {tracking.behind:,} events yet, the oldest for {clock(tracking.waits)}{more}"

    def _space_warnings(self) -> Iterator[str]:
        free = None if self.snapshot is not None else self.files.free_bytes()
        if free is not None and free < LITTLE_SPACE:
            yield f"only {free / 1e6:,.0f} MB are free in {self.folder}"


def _trial_warnings(running: Sequence[Running], rows: Sequence[TrialRow], stall: float) -> Iterator[str]:
    for trial in running:
        if trial.waits_for:
            yield (
                f"{trial.trial_id} waits until {trial.waits_for / 1e6:,.1f} MB are free for its checkpoint; free "
                "space and it continues"
            )
        elif trial.age > stall / 2:
            yield (
                f"{trial.trial_id} has not moved for {clock(trial.age)}; after {clock(stall)} it is ended and "
                "tried again"
            )
    failed = [row for row in rows if row.state == FAILED]
    if failed:
        yield f"{len(failed)} failed, the last one ({failed[-1].trial_id}) because {failed[-1].reason}"


def _left(
    stage: Stage,
    in_trials: float | None,
    after: AfterTrials | None,
    trained: float,
    scored: int,
    rate: float | None,
) -> float | None:
    """Seconds until the search is done at `rate` steps per second, all stages counted; None before that is known."""
    if not rate or stage not in ("searching", "scoring", "finalists"):
        return None
    if stage == "searching":
        steps = None if in_trials is None else in_trials + (after.steps_left() if after else 0.0)
    else:
        steps = after.steps_left(trained, after.models + scored if stage == "finalists" else 0) if after else None
    return None if steps is None else steps / rate


def _rungs(asked: Mapping[str, Any], total_steps: int | None) -> list[int]:
    """The steps at which trials may be paused, and the last one; of versions without fractions only that."""
    fractions = asked.get("rungs", [])
    return rung_steps(total_steps, fractions if isinstance(fractions, list) else []) if total_steps else []


def _stage(
    attrs: Mapping[str, Any],
    asked: Mapping[str, Any],
    rows: Sequence[TrialRow],
    trials: Sequence[FrozenTrial],
    planned: int | None,
    summary: Mapping[str, Any],
) -> Stage:
    if attrs.get("finished") is not None:
        # searches of versions with `finalists` could have seeds and none to train
        seeds = asked.get("seeds", 0) if asked.get("finalists", 1) else 0
        trained = any(row.state == COMPLETE for row in rows)
        return "finalists" if trained and finalists_missing(attrs, seeds) else "finished"
    if not trials:
        return "preparing"
    # a space may hold fewer trials than were planned
    enough = planned is not None and len(rows) >= planned
    done = len(rows) == len(trials) and (enough or summary.get("state") == "scoring")
    return "scoring" if done else "searching"


def _state(
    stage: Stage, writer: Writer, age: float | None, stall: float, tracking: Tracking | None
) -> tuple[State, str]:
    """The state, and how it is known."""
    moved = "nothing of it was written yet" if age is None else f"its files moved {clock(age)} ago"
    if writer.holds:
        at_work = f"{writer.describe()} holds the lock of its folder, {moved}"
        return stage, at_work if stage != "finished" else f"finished; {at_work}"
    if stage == "finished":
        return stage, moved
    if writer.holds is None:
        seen = f"whether {writer.describe()} still lives cannot be seen from here"
    elif writer.pid is None:
        seen = "no process has the lock of its folder"
    else:
        seen = f"{writer.describe()} does not hold the lock of its folder any more"
    status = tracking.status if tracking is not None else None
    if status in ENDS:
        state, how = ENDS[status]
        return state, f"{how}; {seen}, {moved}"
    if writer.holds is False:
        return "killed", f"{seen}, {moved}"
    return stage if age is not None and age < stall else "silent", f"{moved}; {seen}"
