"""What follows the trials of a search, counted in a student's optimiser steps, so that a view can tell how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

AHEAD = "after_trials"  # attribute of the study


@dataclass(frozen=True)
class AfterTrials:
    """`models` of the trials are scored; then `students` are trained for `student_steps` each and scored. Scoring a
    model takes as long as `score_steps` of training. `at_a_time` trials train beside each other."""

    models: int
    students: int
    student_steps: int
    score_steps: float
    at_a_time: int = 1  # as in searches of versions that did not keep it

    def steps_left(self, trained: float = 0.0, scored: int = 0) -> float:
        """In steps, when so many students are `trained`, a begun one in part, and so many models and students are
        `scored`."""
        students = max(0.0, self.students - trained)
        return students * self.student_steps + max(0, self.models + self.students - scored) * self.score_steps

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the study."""
        return asdict(self)

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> AfterTrials | None:
        """From a study's attributes; None of a search that has not come so far, or of an earlier version."""
        return cls(**attrs[AHEAD]) if AHEAD in attrs else None
