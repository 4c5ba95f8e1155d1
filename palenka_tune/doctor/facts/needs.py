"""Measures what a search needs of the machines, in bytes, before a corpus is read or a model is built.

Memory is counted as the search itself counts it (`models.memory`). The size of the teachers' cache follows from the
plan that the search would choose, and from an upper bound on the number of windows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from palenka_tune.cache.plan import candidates
from palenka_tune.data import hub
from palenka_tune.data.babytalk.corpus import WORDS
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import BABYTALK, DataSettings, Notes
from palenka_tune.errors import UserError
from palenka_tune.models.memory import training_memory
from palenka_tune.models.presets import get_preset
from palenka_tune.runs import known_headroom
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.tune.placement import trial_memory
from palenka_tune.spaces.experiment import shape_of
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.students.headroom import Headroom
from palenka_tune.students.teacher_cache import search_need
from palenka_tune.trials.arms import arms_of, trials_of

BYTES_PER_TOKEN = 3  # of English text; a byte-level BPE of 2,048 entries or more takes more
BYTES_PER_WORD = 6


@dataclass(frozen=True)
class Needs:
    """What a search needs. `trial_bytes` and `teacher_bytes` are of the memory that trains (a GPU's or main memory),
    with the micro-batches of the recipe. `cache_bytes` are the largest and the smallest cache that would do (None: no
    cache, or `cache_unknown` says why its size is unknown). `headroom` is what an earlier search measured (None: not
    known), and `headroom_said` says so in sentences. `data` says what is read of the
    corpus."""

    config: SearchConfig
    options: SearchOptions
    trials: int
    student: str
    trial_bytes: int
    teacher: str = ""
    teacher_bytes: int = 0
    cache_bytes: tuple[int, int] | None = None
    cache_unknown: str = ""
    headroom: Headroom | None = None
    headroom_said: tuple[str, ...] = ()
    data: Notes = field(default_factory=Notes)


def needs_of(config: SearchConfig, options: SearchOptions) -> Needs:
    """Count what the search needs; raises `UserError` for a space that no cache can serve."""
    experiment = config.experiment
    vocabulary, window = experiment.data.vocabulary, experiment.data.window
    teachers = {"": 0}
    for teacher in experiment.teachers:
        if not teacher.is_given:
            micro = teacher.recipe.batch_size // teacher.recipe.accumulate
            teachers[f"{teacher.preset} with micro-batches of {micro} windows"] = training_memory(
                get_preset(teacher.preset), [], vocabulary=vocabulary, window=window, micro_batch=micro
            )
    largest = max(teachers, key=lambda name: teachers[name])
    micro = experiment.recipe.batch_size // experiment.recipe.accumulate
    cache_bytes, unknown = _cache(config)
    said, headroom = known_headroom.sentences(config, Path(options.storage))
    return Needs(
        config=config,
        options=options,
        trials=trials_of(arms_of(config)),
        student=f"{experiment.student.architecture.name} with micro-batches of {micro} windows of {window} tokens",
        trial_bytes=trial_memory(config),
        teacher=largest,
        teacher_bytes=teachers[largest],
        cache_bytes=cache_bytes,
        cache_unknown=unknown,
        headroom=headroom,
        headroom_said=tuple(said),
    )


def _cache(config: SearchConfig) -> tuple[tuple[int, int] | None, str]:
    """Bytes of the most and of the least faithful cache, or why they are unknown."""
    experiment = config.experiment
    if experiment.cache.form == "online":
        return None, ""
    try:
        shapes = tuple(shape_of(teacher.architecture) for teacher in experiment.teachers)
    except UserError:
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


def tokens_of(config: SearchConfig) -> int | None:
    """An upper bound on the tokens of the windows that a trial trains on and validates on; None for a data set that is
    not on this machine."""
    student, window = config.experiment.student, config.experiment.data.window
    size = _bytes(config.experiment.data)
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
    splits = open_corpus(data.source, data.dev_fraction).splits
    return {split: sum(file.size for file in files) for split, files in splits.items()}
