"""Models and tokenizers that exist, in place of the names by which a configuration calls them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from palenka_tune.data.given_tokenizer import (
    another,
    open_backend,
    open_tokenizer,
    rules_digest,
    size_of,
    stands_beside,
)
from palenka_tune.data.prepare import TEACHER, TRAIN, DataSettings
from palenka_tune.data.tokenizer import train_tokenizer
from palenka_tune.errors import UserError, nearest
from palenka_tune.models.fetch import fetch
from palenka_tune.models.given import check_positions, check_vocabulary, read_architecture
from palenka_tune.models.source import Source, source_of
from palenka_tune.models.weights import check_weights
from palenka_tune.spaces.experiment import Experiment, StudentSettings, TeacherSettings, shape_of
from palenka_tune.spaces.resolve import check_space
from palenka_tune.spaces.settings import SearchConfig

logger = logging.getLogger(__name__)
FEWEST = 259  # entries of a tokenizer that is trained, for estimates


def open_config(config: SearchConfig, storage: Path, *, weights: bool = True) -> SearchConfig:
    """The search whose models and tokenizers are opened, with what they do to its space; raises as `open_given` and
    `check_space`."""
    config = dataclasses.replace(config, experiment=open_given(config.experiment, storage, weights=weights))
    if any(teacher.is_given for teacher in config.experiment.teachers):
        shapes = tuple(shape_of(teacher.architecture) for teacher in config.experiment.teachers)
        check_space(config, config.space_name, shapes)
    return config


def open_given(experiment: Experiment, storage: Path, *, weights: bool = True) -> Experiment:
    """The experiment with folders in place of each `run:NAME`, model of the hub, and tokenizer, its student's too.

    Without `weights` of a model of the hub only what says what it is is fetched, in seconds.

    Raises `UserError` if there is no such search in `storage`, or it has no best student yet, or for a model or a
    tokenizer that is not there; `PalenkaError` if the hub cannot be reached.
    """
    teachers = [_open_teacher(teacher, storage, weights) for teacher in experiment.teachers]
    student = _open_student(experiment.student, storage, weights)
    data = open_data(experiment.data, teachers, student)
    _check_export(student, data)
    return dataclasses.replace(experiment, teachers=teachers, student=student, data=data)


def _open_student(student: StudentSettings, storage: Path, weights: bool) -> StudentSettings:
    source = source_of(student.preset)
    if source.kind == "preset":
        return student
    folder = _folder(source, f"student {student.preset}", storage, weights and student.init == "weights")
    return dataclasses.replace(student, preset=str(folder))


def _open_teacher(teacher: TeacherSettings, storage: Path, weights: bool) -> TeacherSettings:
    source = source_of(teacher.preset)
    if source.kind == "preset":
        return teacher
    folder = _folder(source, f"teacher {teacher.preset}", storage, weights)
    model = read_architecture(folder)
    if source.kind != "hub" or weights:
        check_weights(folder, model.layers)
    return dataclasses.replace(teacher, preset=str(folder))


def _folder(source: Source, what: str, storage: Path, weights: bool) -> Path:
    if source.kind == "hub":
        logger.info(f"{what}: fetching it from the Hugging Face hub")
        return fetch(source, weights=weights)
    if source.kind == "folder":
        return Path(source.name).expanduser().absolute()
    folder = storage / source.name / "best"
    if not folder.is_dir():
        known = sorted(path.parent.name for path in storage.glob("*/best"))
        raise UserError(
            f"{what}: {storage} holds no finished search {source.name!r}{nearest(source.name, known)}; give the --name "
            "of one"
        )
    return folder.absolute()


def open_data(
    data: DataSettings, teachers: list[TeacherSettings], student: StudentSettings | None = None
) -> DataSettings:
    """The tokenizer's folder in place of `teacher`, of a name of the hub, and of nothing; raises as `open_given`."""
    given = [teacher.preset for teacher in teachers if teacher.is_given]
    own = student.preset if student is not None and student.init == "weights" else None
    wanted = data.tokenizer or (TEACHER if given else own or TRAIN)
    if wanted == TRAIN:
        return dataclasses.replace(data, tokenizer=TRAIN)
    if wanted == TEACHER and not given:
        raise UserError("data.tokenizer is teacher, but every teacher is trained here; give train, or a folder")
    folder = given[0] if wanted == TEACHER else _tokenizer(wanted)
    ids = open_tokenizer(folder, data.separator).size
    for each in given:
        name = read_architecture(each).name
        check_vocabulary("teacher", name, each, ids)
        check_positions("teacher", name, each, data.window)
        if each != folder and rules_digest(open_backend(each)) != rules_digest(open_backend(folder)):
            raise another("teacher", name)
    return dataclasses.replace(data, tokenizer=folder, vocabulary=max(size_of(folder), FEWEST))


def _check_export(student: StudentSettings, data: DataSettings) -> None:
    """Raise `UserError` if transformers would read the exported student's tokenizer as another one."""
    if source_of(student.preset).kind == "preset":
        return
    family = read_architecture(student.preset).family
    trained = data.tokenizer in (None, TRAIN)
    # what a trained tokenizer does to a text does not depend on what it was trained on
    backend = train_tokenizer([], FEWEST) if trained else open_backend(str(data.tokenizer))
    if not stands_beside(backend, family):
        tokenizer = "a tokenizer trained on the text" if trained else f"the tokenizer in {data.tokenizer}"
        raise UserError(
            f"student {student.preset} has model_type {family}, beside which transformers replaces {tokenizer} by one "
            "of its own, so that an exported student would read other ids; set model_type in its config.json to a like "
            "family (qwen3 or llama for qwen2), or name a preset and student.family"
        )


def _tokenizer(name: str) -> str:
    source = source_of(name)
    if source.kind == "hub":
        return str(fetch(source, weights=False))
    if source.kind == "folder":
        return str(Path(source.name).expanduser().absolute())
    raise UserError(f"data.tokenizer is {name}; give train, teacher, a folder, or a name of the Hugging Face hub")
