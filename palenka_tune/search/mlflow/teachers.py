"""Each teacher as an MLflow run of its own under the search's."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from palenka_tune.search.mlflow import notes
from palenka_tune.search.mlflow.names import metric_names
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import NOTE, PARENT
from palenka_tune.tracking.tracker import Tracker
from palenka_tune.tracking.writer import TEACHER_TAG
from palenka_tune.trials.metrics import VAL_CE


class TeacherRuns:
    """Metrics of teachers in training as MLflow runs of their own under the search's."""

    def __init__(self, tracker: Tracker, experiment: Experiment, tags: Mapping[str, str]) -> None:
        self.tracker, self.tags = tracker, tags
        self.recipes = {teacher.preset: dataclasses.asdict(teacher.recipe) for teacher in experiment.teachers}
        self.started: set[str] = set()
        self.named: Counter[str] = Counter()

    def __call__(self, name: str, metrics: Mapping[str, float], step: int) -> None:
        key = run_key(name)
        if key not in self.started:
            self._start(key, name.rsplit("-", 1)[0])
        self.tracker.log_metrics(key, metric_names(metrics), step=step)

    def _start(self, key: str, teacher: str) -> None:
        self.started.add(key)
        self.named[teacher] += 1
        number = "" if self.named[teacher] == 1 else f" ({self.named[teacher]})"
        params = self.recipes.get(teacher, {})
        self.tracker.start_run(key, name=f"teacher {teacher}{number}", parent=PARENT, tags=self.tags, params=params)

    def end(self, teachers: Sequence[Teacher] = ()) -> None:
        """End all runs; a teacher that was not trained here gets a run too, with what is known of it."""
        for teacher in teachers:
            key = run_key(teacher.folder.name)
            trained_here = key in self.started
            if not trained_here:
                self._start(key, teacher.name)
                self.tracker.log_metrics(key, metric_names({VAL_CE: teacher.val_ce}), step=teacher.tokens)
            self.tracker.set_tags(key, {TEACHER_TAG: teacher.fingerprint, "palenka.role": "teacher"})
            self.tracker.set_linked_tags(key, {NOTE: notes.teacher(teacher, trained_here=trained_here)})
        for key in self.started:
            self.tracker.end_run(key, "FINISHED" if teachers else "KILLED")


def run_key(folder: str) -> str:
    """Our key of the run of the teacher whose folder has that name."""
    return f"teacher-{folder}"
