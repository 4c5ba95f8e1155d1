"""The teachers of an experiment: which must be trained, which exist, which were given as folders."""

from __future__ import annotations

import logging
from pathlib import Path

from palenka_tune.config.artifacts import is_complete
from palenka_tune.data.prepare import PreparedData
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import get_scale
from palenka_tune.spaces.experiment import Experiment, shape_of
from palenka_tune.teachers.online import check_reader
from palenka_tune.teachers.spec import OnMetrics, Teacher, TeacherSpec, open_teacher, teacher_folder

logger = logging.getLogger(__name__)


def teacher_specs(experiment: Experiment) -> list[TeacherSpec | Path]:
    """A specification per teacher to train, or the folder of one that was given; in the experiment's order."""
    return [
        Path(teacher.preset).expanduser()
        if teacher.is_given
        else TeacherSpec(get_preset(teacher.preset), teacher.recipe, teacher.seed)
        for teacher in experiment.teachers
    ]


def open_given_teachers(experiment: Experiment, prepared: PreparedData) -> list[Teacher]:
    """Teachers that were given as folders, with their tokenizer checked against the data's, and that of a student that
    begins with weights; raises `UserError`."""
    given = [open_teacher(spec) for spec in teacher_specs(experiment) if isinstance(spec, Path)]
    for teacher in given:
        check_reader(teacher, prepared.store)
    if experiment.student.init == "weights":
        check_reader(open_teacher(experiment.student.preset), prepared.store, role="student")
    return given


def teacher_shapes(experiment: Experiment, given: list[Teacher]) -> tuple[ModelShape, ...]:
    """The shapes of all teachers in order, once those given as folders are open."""
    opened = iter(given)
    return tuple(
        next(opened).shape if isinstance(spec, Path) else shape_of(spec.preset) for spec in teacher_specs(experiment)
    )


def teacher_dev_windows(experiment: Experiment) -> int | None:
    """Dev windows that choose a teacher's best epoch: the scale's, so that a student's own choice trains no teacher
    anew, and `python -m palenka_tune.train` makes the same teacher."""
    return get_scale(experiment.scale).dev_windows


def teacher_folders(experiment: Experiment, data_fingerprint: str, storage: Path) -> list[Path]:
    """Where each teacher is, or will be, in the experiment's order."""
    dev_windows = teacher_dev_windows(experiment)
    return [
        spec if isinstance(spec, Path) else teacher_folder(storage, spec, data_fingerprint, dev_windows)
        for spec in teacher_specs(experiment)
    ]


def missing_teachers(experiment: Experiment, prepared: PreparedData, storage: Path) -> list[TeacherSpec]:
    """What must be trained first."""
    folders = teacher_folders(experiment, prepared.fingerprint, storage)
    wanted = zip(teacher_specs(experiment), folders, strict=True)
    return [spec for spec, folder in wanted if isinstance(spec, TeacherSpec) and not is_complete(folder)]


def obtain_teachers(
    experiment: Experiment, prepared: PreparedData, storage: Path, *, use_gpu: bool, on_metrics: OnMetrics | None = None
) -> list[Teacher]:
    """All teachers in the experiment's order; what is missing is trained in the Ray session that is open."""
    to_train = missing_teachers(experiment, prepared, storage)
    if to_train:
        from palenka_tune.teachers.ray_trainer import train_teachers  # ray: only if something must be trained

        dev_windows = teacher_dev_windows(experiment)
        train_teachers(to_train, prepared, storage, use_gpu=use_gpu, dev_windows=dev_windows, on_metrics=on_metrics)
    teachers = [open_teacher(folder) for folder in teacher_folders(experiment, prepared.fingerprint, storage)]
    for teacher in teachers:
        logger.info(f"teacher {teacher.describe()}")
    return teachers
