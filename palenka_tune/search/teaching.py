"""The teachers of an experiment: which must be trained, which are there already, which were given as folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from palenka_tune.data.prepare import PreparedData
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import get_scale
from palenka_tune.search import notes
from palenka_tune.search.experiment import Experiment, shape_of
from palenka_tune.search.mlflow_observer import NOTE, PARENT
from palenka_tune.teachers.online import check_teacher
from palenka_tune.teachers.spec import Teacher, TeacherSpec, is_trained, open_teacher, teacher_folder
from palenka_tune.tracking.tracker import Tracker
from palenka_tune.tracking.writer import TEACHER_TAG

OnMetrics = Callable[[str, Mapping[str, float], int], None]


def specs(experiment: Experiment) -> list[TeacherSpec | Path]:
    """A specification per teacher to train, or the folder of one that was given; in the experiment's order."""
    return [
        Path(teacher.preset).expanduser()
        if teacher.is_folder
        else TeacherSpec(get_preset(teacher.preset), teacher.recipe, teacher.seed)
        for teacher in experiment.teachers
    ]


def open_given(experiment: Experiment, prepared: PreparedData) -> list[Teacher]:
    """Teachers that were given as folders, with their tokenizer checked against the data's; raises `UserError`."""
    given = [open_teacher(spec) for spec in specs(experiment) if isinstance(spec, Path)]
    for teacher in given:
        check_teacher(teacher, prepared.store)
    return given


def shapes(experiment: Experiment, given: list[Teacher]) -> tuple[ModelShape, ...]:
    """The shapes of all teachers in order, once those given as folders are open."""
    opened = iter(given)
    return tuple(next(opened).shape if isinstance(spec, Path) else shape_of(spec.preset) for spec in specs(experiment))


def teacher_dev_windows(experiment: Experiment) -> int | None:
    """Dev windows that choose a teacher's best epoch: the scale's, so that a student's own choice trains no teacher
    anew, and `python -m palenka_tune.train` makes the same teacher."""
    return get_scale(experiment.scale).dev_windows


def missing(experiment: Experiment, prepared: PreparedData, storage: Path) -> list[TeacherSpec]:
    """What must be trained first."""
    dev_windows = teacher_dev_windows(experiment)
    return [
        spec
        for spec in specs(experiment)
        if isinstance(spec, TeacherSpec)
        and not is_trained(teacher_folder(storage, spec, prepared.fingerprint, dev_windows))
    ]


def obtain(
    experiment: Experiment,
    prepared: PreparedData,
    storage: Path,
    *,
    use_gpu: bool,
    log: Callable[[str], None],
    on_metrics: OnMetrics | None = None,
) -> list[Teacher]:
    """All teachers in the experiment's order; what is missing is trained in the Ray session that is open."""
    to_train = missing(experiment, prepared, storage)
    dev_windows = teacher_dev_windows(experiment)
    if to_train:
        from palenka_tune.teachers.ray_trainer import train_teachers  # ray: only if something must be trained

        train_teachers(
            to_train,
            prepared,
            storage,
            workers=None,
            use_gpu=use_gpu,
            dev_windows=dev_windows,
            log=log,
            on_metrics=on_metrics,
        )
    teachers = [
        open_teacher(
            spec if isinstance(spec, Path) else teacher_folder(storage, spec, prepared.fingerprint, dev_windows)
        )
        for spec in specs(experiment)
    ]
    for teacher in teachers:
        log(f"teacher {teacher.describe()}")
    return teachers


class TeacherRuns:
    """Metrics of teachers in training as MLflow runs of their own under the search's."""

    def __init__(self, tracker: Tracker, experiment: Experiment, tags: Mapping[str, str]) -> None:
        self.tracker, self.tags = tracker, tags
        self.recipes = {teacher.preset: dataclasses.asdict(teacher.recipe) for teacher in experiment.teachers}
        self.started: set[str] = set()

    def __call__(self, name: str, metrics: Mapping[str, float], step: int) -> None:
        key = run_key(name)
        if key not in self.started:
            self._start(key, name.rsplit("-", 1)[0])
        self.tracker.log_metrics(key, metrics, step=step)

    def _start(self, key: str, teacher: str) -> None:
        self.started.add(key)
        params = self.recipes.get(teacher, {})
        self.tracker.start_run(key, name=f"teacher {teacher}", parent=PARENT, tags=self.tags, params=params)

    def end(self, teachers: Sequence[Teacher] = ()) -> None:
        """End all runs; a teacher that was there already has a run too, with what is known of it."""
        for teacher in teachers:
            key = run_key(teacher.folder.name)
            trained_here = key in self.started
            if not trained_here:
                self._start(key, teacher.name)
                self.tracker.log_metrics(key, {"val/ce": teacher.val_ce}, step=teacher.tokens)
            self.tracker.set_tags(key, {TEACHER_TAG: teacher.fingerprint, "palenka.role": "teacher"})
            self.tracker.set_linked_tags(key, {NOTE: notes.teacher(teacher, trained_here=trained_here)})
        for key in self.started:
            self.tracker.end_run(key, "FINISHED" if teachers else "KILLED")


def run_key(folder: str) -> str:
    """Our key of the run of the teacher whose folder has that name."""
    return f"teacher-{folder}"
