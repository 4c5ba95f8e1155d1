"""Where a search's time went: wall seconds by stage, and how many full trainings of a student that is.

The seconds are in the study, over all processes that worked on the search.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from rich.table import Table

from palenka_tune.trials.rows import TrialRow
from palenka_tune.words import clock

EVERY = 30.0  # seconds between two notes of how long a stage has taken
SECONDS = "stage_seconds"  # attribute of the study: {stage: wall seconds}
FRESH_STEPS = "fresh_steps"  # attribute of the study: optimiser steps of all students with fresh seeds
TEACHERS, CACHE, TRIALS, FRESH, SCORING = "teachers", "cache", "trials", "fresh seeds", "scoring"
STAGES = {
    TEACHERS: "training the teachers, or finding them",
    CACHE: "the teachers' outputs, and their headroom",
    TRIALS: "the trials",
    FRESH: "the best of each arm again, with fresh seeds",
    SCORING: "minimal pairs and test, of all models",
}


@dataclass(frozen=True)
class Cost:
    """A stage: wall seconds, and in how many full trainings of a student they would have gone.

    Of the trials and the fresh seeds the steps are counted. The time of another stage is divided by what the trials
    took for a training, with as many at a time as there were. None: that is not known yet.
    """

    stage: str
    seconds: float
    trainings: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@contextlib.contextmanager
def timed(study: optuna.Study, stage: str) -> Iterator[None]:
    """Add the wall time of what happens within to that of `stage`, however it ends: a process that is killed loses no
    more than the last `EVERY` seconds."""
    before = study.user_attrs.get(SECONDS, {}).get(stage, 0.0)
    started, over = time.monotonic(), threading.Event()

    def note() -> None:
        spent = {**study.user_attrs.get(SECONDS, {}), stage: round(before + time.monotonic() - started, 1)}
        study.set_user_attr(SECONDS, spent)

    def keep() -> None:
        while not over.wait(EVERY):
            with contextlib.suppress(Exception):  # what ails the study ends the stage, and is said there
                note()

    keeper = threading.Thread(target=keep, name="time of the stage", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        # a database that is away must not hide what ended the stage
        with contextlib.suppress(optuna.exceptions.StorageInternalError, OSError):
            note()


def wall_seconds(attrs: Mapping[str, Any]) -> float:
    """Wall seconds of all stages so far, over all processes that worked on the search; `attrs` are the study's."""
    spent: Mapping[str, float] = attrs.get(SECONDS, {})
    return round(sum(spent.values()), 1) or float(attrs.get("seconds", 0.0))  # what earlier versions counted


def costs(attrs: Mapping[str, Any], rows: Sequence[TrialRow], total_steps: int | None) -> list[Cost]:
    """What each stage took, in order, then all of them; `attrs` are the study's."""
    spent: Mapping[str, float] = attrs.get(SECONDS, {})
    steps = {TRIALS: sum(row.steps for row in rows), FRESH: attrs.get(FRESH_STEPS, 0)}
    in_trials = steps[TRIALS] / total_steps if total_steps else 0.0
    each = spent[TRIALS] / in_trials if in_trials and TRIALS in spent else None
    found = []
    for stage in STAGES:
        if stage in spent:
            trainings = spent[stage] / each if each else None
            if total_steps and stage in steps:
                trainings = steps[stage] / total_steps or None
            found.append(Cost(stage, spent[stage], None if trainings is None else round(trainings, 2)))
    if found:
        known = [cost.trainings for cost in found if cost.trainings is not None]
        whole_of_it = round(sum(known), 2) if len(known) == len(found) else None
        found.append(Cost("all", wall_seconds(attrs), whole_of_it))
    return found


def cells(found: Sequence[Cost]) -> list[tuple[str, str, str]]:
    """The rows of the table, for every place that shows it: what, wall time, full trainings."""
    return [
        (
            STAGES.get(cost.stage, cost.stage),
            clock(cost.seconds),
            "" if cost.trainings is None else f"{cost.trainings:.1f}",
        )
        for cost in found
    ]


HEADER = ("where the time went", "wall time", "full trainings")


def table(found: Sequence[Cost]) -> Table:
    """The table for a terminal."""
    shown = Table()
    for column in HEADER:
        shown.add_column(column, justify="left" if column == HEADER[0] else "right")
    for row in cells(found):
        shown.add_row(*row, style="bold" if row[0] == "all" else None)
    return shown
