"""Trials and finalists as typed rows: what the ledger, the tables on disk, the report and the Python API share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from optuna.trial import FrozenTrial, TrialState

from palenka_tune.errors import PalenkaError
from palenka_tune.trials.arms import ARM, ARMS, FIXED, ORIGIN, PROPOSED, arm_of

COMPLETE, PRUNED, FAILED, PAUSED = "COMPLETE", "PRUNED", "FAILED", "PAUSED"
# attribute of a trial: the step at which it rests, 0 once it was promoted
PAUSED_AT = "paused_at"
STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}


@dataclass(frozen=True)
class TrialRow:
    """A trial: a row of `trials.parquet`, which has a column for each setting and none for the curve.

    Attributes:
        trial_id: Such as `trial-0004`.
        state: `COMPLETE` (trained to its end), `PRUNED` (paused at a rung, not continued) or `FAILED` (see `reason`).
        arm: `plain`, `logits` or `hidden`.
        origin: `fixed` (the arm's fixed setting), `startup` (a random point that the arms share) or `proposed` (by the
            sampler). The first two were chosen by no result, and are never paused.
        settings: The searched settings by their dotted names, such as `{"beta": 3.1, "projection.rank": 64}`. None is
            YAML's null. Read from a table, None may also be a setting that this trial does not have, and maps and lists
            are JSON text.
        val_ce: The student's own cross-entropy when it was last measured, in nats per token; None if it never was.
        val_ce_best: The lowest cross-entropy that was measured, in nats per token.
        val_ce_raw: At a rung, the cross-entropy of the weights themselves, where `val_ce` is that of their average.
        val_kl: Divergence from the teachers at the end, in nats per token, before its weight; None if not measured.
        val_hidden: Distance of the hidden states at the end, without a unit, before its weight.
        val_total: The whole loss at the end, with its weights, which differ from trial to trial.
        steps: Optimiser steps that were trained.
        tokens: Tokens that were trained.
        seconds: Wall time of training, in all processes that worked on it.
        parameters: The student's, each shared one counted once; None of trials of versions that did not count.
        reason: Why it failed or was stopped, or None.
        curve: `{step: val_ce}` as it was measured on the way; empty if read from a table.
    """

    COLUMNS: ClassVar[str] = "settings"
    """The field whose entries are columns of their own."""

    trial_id: str
    state: str
    arm: str
    origin: str
    settings: dict[str, Any]
    val_ce: float | None = None
    val_ce_best: float | None = None
    val_ce_raw: float | None = None
    val_kl: float | None = None
    val_hidden: float | None = None
    val_total: float | None = None
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    parameters: int | None = None
    reason: str | None = None
    curve: dict[int, float] = field(default_factory=dict, repr=False)

    @property
    def ce(self) -> float:
        """`val_ce` as a number: NaN if there is none."""
        return math.nan if self.val_ce is None else float(self.val_ce)

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to its end, without diverging."""
        return self.state == COMPLETE and math.isfinite(self.ce)

    @classmethod
    def of(cls, trial: FrozenTrial) -> TrialRow:
        """The row of a trial of the study; the state of one that is not finished is RUNNING or PAUSED."""
        names = {state: name for name, state in STATES.items()}
        attrs, values = trial.user_attrs, trial.intermediate_values
        progress = attrs.get("progress", {})
        measured = progress.get("measured", {})
        # trials of versions without arms
        weights = {"alpha": 1.0, "beta": 1.0} | attrs["values"]
        return cls(
            trial_id=attrs["trial_id"],
            state=names.get(trial.state) or (PAUSED if attrs.get(PAUSED_AT) else trial.state.name),
            arm=attrs.get(ARM) or arm_of(weights["alpha"], weights["beta"]),
            origin=attrs.get(ORIGIN) or (FIXED if "anchor" in attrs else PROPOSED),
            settings=attrs["values"],
            val_ce=values[max(values)] if values else None,
            val_ce_best=min(values.values()) if values else None,
            val_ce_raw=measured.get("val_ce_raw"),
            val_kl=measured.get("val_kl"),
            val_hidden=measured.get("val_hidden"),
            val_total=measured.get("val_total"),
            steps=progress.get("steps", 0),
            tokens=progress.get("tokens", 0),
            seconds=progress.get("seconds", 0.0),
            parameters=progress.get("parameters"),
            reason=attrs.get("reason"),
            curve={step: values[step] for step in sorted(values)},
        )


@dataclass(frozen=True)
class FinalistRow:
    """The best of an arm, trained again with a fresh seed: a row of `finalists.parquet`, which has a column for each
    suite.

    Attributes:
        config: The id of the trial whose settings it has.
        arm: `plain`, `logits` or `hidden`.
        seed: Of the student. Students of one seed begin with the same weights and see the same batches.
        alpha, beta: The loss weights.
        val_ce: The student's cross-entropy on dev, in nats per token; None if the training diverged.
        test_ce: Its cross-entropy on all of test, in nats per token; None if the corpus has none.
        val_ppl: exp of it.
        val_kl, val_hidden, val_total: As of a trial.
        steps: Optimiser steps that were trained.
        tokens: Tokens that were trained.
        seconds: Wall time of training.
        weights_sha256: Equal for students that are equal bit for bit.
        diverged: Why there is no `val_ce`, or None.
        folder: The student and its model card, within the run folder.
        scores: Accuracy from 0 to 1 by suite of minimal pairs.
    """

    COLUMNS: ClassVar[str] = "scores"

    config: str
    arm: str
    seed: int
    alpha: float = 0.0
    beta: float = 0.0
    val_ce: float | None = None
    test_ce: float | None = None
    val_ppl: float | None = None
    val_kl: float | None = None
    val_hidden: float | None = None
    val_total: float | None = None
    steps: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    weights_sha256: str | None = None
    diverged: str | None = None
    folder: str = ""
    scores: dict[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """The value of a metric or suite by its name, None if this student has none."""
        return getattr(self, metric) if hasattr(self, metric) else self.scores.get(metric)


def own_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were or will be run: all but repetitions, and of one that was promoted after its end its new record.

    They keep the order in which they were proposed.
    """
    own = (trial for trial in trials if "duplicate_of" not in trial.user_attrs)
    return [*{trial.user_attrs["trial_id"]: trial for trial in own}.values()]


def rows_of(trials: Iterable[FrozenTrial]) -> list[TrialRow]:
    """A row per finished trial of a study, in the order in which they were proposed."""
    return [TrialRow.of(trial) for trial in own_trials(trials) if trial.state in STATES.values()]


def best_first(rows: Iterable[TrialRow], objective: str = "val_ce") -> list[TrialRow]:
    """The COMPLETE rows, the best by `objective` first.

    By `val_total` fixed settings are left out: with no weight on any term the smallest sum would always be theirs.
    """
    complete = [row for row in rows if row.state == COMPLETE]
    if objective != "val_ce":
        complete = [row for row in complete if row.origin != FIXED]
    return sorted(complete, key=lambda row: (getattr(row, objective), row.trial_id))


def best_row(rows: Sequence[TrialRow], objective: str = "val_ce") -> TrialRow:
    """The COMPLETE trial with the lowest `objective`; raises `PalenkaError` if there is none."""
    best = best_first(rows, objective)
    if not best:
        reasons = sorted({str(row.reason) for row in rows if row.reason}) or ["no trial was run"]
        raise PalenkaError(f"no trial was trained to the end ({reasons[0]}); see trials.parquet for each reason")
    return best[0]


def best_of_arms(rows: Iterable[TrialRow], objective: str = "val_ce") -> dict[str, TrialRow]:
    """{arm: its best COMPLETE trial}; an arm without one is not there, one with a fixed setting alone has that."""
    rows, best = [*rows], dict[str, TrialRow]()
    for row in (*best_first(rows, objective), *best_first(rows)):
        best.setdefault(row.arm, row)
    return {arm: best[arm] for arm in ARMS if arm in best}


def counts_of(rows: Iterable[TrialRow]) -> dict[str, int]:
    """How many trials ended in each state."""
    states = [row.state for row in rows]
    return {state.lower(): states.count(state) for state in (COMPLETE, PRUNED, FAILED)}


def budget_of(rows: Sequence[TrialRow], total_steps: int | None) -> dict[str, float | None]:
    """Steps that the finished trials ran, of those that they would have run without early stopping."""
    run = sum(row.steps for row in rows)
    full = total_steps * len(rows) if total_steps else None
    saved = round(1 - run / full, 4) if full else None
    return {"trial_steps_run": run, "trial_steps_full_grid": full, "saved_fraction": saved}
