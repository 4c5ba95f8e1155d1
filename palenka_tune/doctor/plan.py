"""What a search is going to ask of the machines, in bytes, before any corpus is read or any model built.

In: a resolved search and its options. Out: a `Plan`. Memory is counted as the search itself counts it
(`models.memory`); the cache's size follows from the plan that the search would choose, and from an estimate of the
windows where the corpus has not been read yet, from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from palenka_tune.cache.plan import candidates
from palenka_tune.data import hub
from palenka_tune.data.babytalk.corpus import WORDS
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import BABYTALK, DataSettings
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import UserError
from palenka_tune.models.memory import training_memory
from palenka_tune.models.presets import get_preset
from palenka_tune.runs.options import SearchOptions
from palenka_tune.search.tune.placement import trial_memory
from palenka_tune.spaces.settings import SearchConfig, samples
from palenka_tune.students.teacher_cache import search_need
from palenka_tune.trials.arms import ANCHORS

BYTES_PER_TOKEN = 3  # of English text; a byte-level BPE of 2,048 entries or more takes more
BYTES_PER_WORD = 6


@dataclass(frozen=True)
class Plan:
    """What a search asks. `trial_bytes` and `teacher_bytes` are of the device that trains (GPU or main memory), of the
    micro-batches of the recipe; `cache_bytes` is the largest and the smallest cache that would do (None: no cache, or
    `cache_unknown` says why its size is not known)."""

    config: SearchConfig
    options: SearchOptions
    trials: int
    student: str
    trial_bytes: int
    teacher: str = ""
    teacher_bytes: int = 0
    cache_bytes: tuple[int, int] | None = None
    cache_unknown: str = ""


def plan_of(config: SearchConfig, options: SearchOptions) -> Plan:
    """Count what the search asks; raises `UserError` for a space that no cache can serve."""
    experiment = config.experiment
    data, recipe = experiment.data, experiment.recipe
    micro = recipe.batch_size // recipe.accumulate
    of_teachers = {
        f"{teacher.preset} with micro-batches of {teacher.recipe.batch_size // teacher.recipe.accumulate} windows": (
            training_memory(
                get_preset(teacher.preset),
                [],
                vocabulary=data.vocabulary,
                window=data.window,
                micro_batch=teacher.recipe.batch_size // teacher.recipe.accumulate,
            )
        )
        for teacher in experiment.teachers
        if not teacher.is_folder
    }
    largest = max(of_teachers, key=lambda name: of_teachers[name], default="")
    sizes, unknown = _cache(config)
    return Plan(
        config=config,
        options=options,
        trials=samples(config) + len(ANCHORS),
        student=f"{experiment.student.preset} with micro-batches of {micro} windows of {data.window} tokens",
        trial_bytes=trial_memory(config),
        teacher=largest,
        teacher_bytes=of_teachers.get(largest, 0),
        cache_bytes=sizes,
        cache_unknown=unknown,
    )


def _cache(config: SearchConfig) -> tuple[tuple[int, int] | None, str]:
    """Bytes of the most and of the least faithful cache, or why they are not known."""
    experiment = config.experiment
    if experiment.cache.form == "online":
        return None, ""
    shapes = experiment.teacher_shapes()
    if shapes is None:
        shapes = _given_shapes(config)
        if shapes is None:
            return None, "a teacher's folder cannot be read"
    need = search_need(config, shapes)
    if need.nothing:
        return None, ""
    tokens = tokens_of(config)
    if tokens is None:
        return None, f"{experiment.data.source} has not been downloaded"
    plans = candidates(need, experiment.cache, shapes, experiment.data.vocabulary, experiment.seed)
    sizes = [plan.bytes_per_token() * tokens for plan in plans]
    return (sizes[0], min(sizes)), ""


def _given_shapes(config: SearchConfig) -> tuple[ModelShape, ...] | None:
    """The shapes where a teacher was given as a folder."""
    from palenka_tune.spaces.experiment import shape_of
    from palenka_tune.teachers.spec import open_teacher

    try:
        return tuple(
            open_teacher(Path(teacher.preset).expanduser()).shape
            if teacher.is_folder
            else shape_of(get_preset(teacher.preset))
            for teacher in config.experiment.teachers
        )
    except UserError:
        return None


def tokens_of(config: SearchConfig) -> int | None:
    """Tokens of the windows that a trial and its validation see, from above; None for a data set that is not here."""
    experiment = config.experiment
    student, window = experiment.student, experiment.data.window
    size = _bytes(experiment.data)
    total = 0
    for split, cap in (("train", student.train_windows), ("dev", student.dev_windows)):
        windows = None if size is None else -(-size[split] // (BYTES_PER_TOKEN * window))
        if split == "train" and windows is not None:
            windows = int(windows * student.train_fraction) + 1
        if cap is not None:
            windows = cap if windows is None else min(windows, cap)
        if windows is None:
            return None
        total += windows * (student.offsets if split == "train" else 1)
    return total * window


def _bytes(data: DataSettings) -> dict[str, int] | None:
    """Bytes of text in train and dev."""
    if data.source == BABYTALK:
        return {split: BYTES_PER_WORD * words for split, words in WORDS.items()}
    if hub.is_dataset_id(data.source):
        return None
    splits = open_corpus(data.source).splits
    return {split: sum(file.path.stat().st_size for file in files) for split, files in splits.items()}
