"""One student, ready to train: the windows it sees, its teachers, its loss. No Ray in here.

A `Bench` is what all trials on one process share (windows, the teachers or the cache of what they said); `Bench.loop`
builds a fresh student on it. A trial of a search, a finalist and `python -m palenka_tune.distill` all go through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from palenka_tune.cache.resident import ResidentSource, fits
from palenka_tune.cache.source import CachedSource
from palenka_tune.cache.staged import StagedSource
from palenka_tune.cache.store import TeacherCache
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.store import TokenStore, subset
from palenka_tune.data.windows import Windows, window_tensor
from palenka_tune.distill.loop import TrainingLoop, steps_for
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.signals import SignalSource
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.models.build import build_for_store
from palenka_tune.models.given import layers_of, read_architecture
from palenka_tune.models.initial import begin_with
from palenka_tune.spaces.experiment import StudentSettings, shape_of
from palenka_tune.students.steps import repeat_steps
from palenka_tune.teachers.online import online_source
from palenka_tune.teachers.spec import open_teacher


@dataclass(frozen=True)
class BenchSpec:
    """Plain data from which any process can open the same bench. `teachers` are folders; with a `cache`, the folder of
    what they said, they are never loaded."""

    store: str
    student: StudentSettings
    teachers: tuple[str, ...]
    device: str = "cpu"
    cache: str | None = None


class Bench:
    """Train and dev windows and, once a loss asks for them, the teachers or what they said."""

    def __init__(self, spec: BenchSpec) -> None:
        self.spec = spec
        self.store = TokenStore.open(spec.store)
        self.windows = select_windows(self.store, spec.student)
        self.train, self.dev = (window_tensor(self.windows.array(self.store, split)) for split in ("train", "dev"))

    @cached_property
    def source(self) -> SignalSource:
        """The teachers' signals, kept or computed on every batch."""
        if self.spec.cache is not None:
            cache = TeacherCache.open(self.spec.cache)
            cache.check_windows(self.windows)
            device = torch.device(self.spec.device)
            if device.type != "cuda":
                return CachedSource(cache, device)
            return ResidentSource(cache, device) if fits(cache, device) else StagedSource(cache, device)
        teachers = [open_teacher(Path(folder)) for folder in self.spec.teachers]
        return online_source(teachers, self.store, statistics_sample(self.train), device=self.spec.device)

    def build_student(
        self, seed: int, device: str | None = None, student: StudentSettings | None = None
    ) -> PreTrainedModel:
        """A student (None: the bench's); the same weights for the same seed, whatever it will be trained on.

        Raises `UserError` if it is to begin with a model that does not fit.
        """
        settings = student or self.spec.student
        architecture, origin = settings.architecture, settings.preset
        if settings.init == "teacher":
            origin = self.spec.teachers[0]
            architecture = layers_of(read_architecture(origin), architecture)
        model = build_for_store(architecture, self.store, seed=seed, device=device or self.spec.device)
        return model if settings.init == "fresh" else begin_with(model, Path(origin))

    def total_steps(self, recipe: Recipe) -> int:
        """Optimiser steps of a full training."""
        return steps_for(recipe, len(self.train) // self.spec.student.offsets)

    def loop(
        self,
        distill: DistillSettings,
        recipe: Recipe,
        student: StudentSettings | None = None,
        *,
        seed: int,
        averaging: bool = False,
    ) -> TrainingLoop:
        """The training loop under `distill` of a fresh student, of the architecture of `student` (None: the bench's).

        alpha = beta = 0 is plain training and opens no teacher. `averaging` keeps an average of its weights beside
        them.
        """
        shape = shape_of((student or self.spec.student).architecture)
        pad_id, copies = self.store.pad_id, self.spec.student.offsets
        objective: PlainObjective | DistillationObjective = PlainObjective(pad_id)
        if distill.alpha or distill.beta:
            steps = self.total_steps(recipe)
            objective = DistillationObjective(distill, shape, self.source, total_steps=steps, pad_id=pad_id, seed=seed)
        loop = TrainingLoop(
            self.build_student(seed, student=student),
            objective,
            self.train,
            self.dev,
            recipe,
            pad_id=pad_id,
            seed=seed,
            copies=copies,
            averaging=averaging,
        )
        repeat_steps(loop, Path(self.spec.store).parents[1])
        return loop


def select_windows(store: TokenStore, student: StudentSettings) -> Windows:
    """The windows of a student: of train a fixed share and then a fixed choice up to the cap, in every cut of the text;
    of dev, on which `val/ce` is measured, all or a fixed choice up to the cap."""
    train, dev = len(store.windows("train")), len(store.windows("dev"))
    share = min(student.train_fraction, (student.train_windows or train) / train)
    chosen = subset(train, share)
    rows = np.concatenate([chosen + copy * train for copy in range(student.offsets)])
    return Windows({"train": rows, "dev": subset(dev, min(1.0, (student.dev_windows or dev) / dev))}, student.offsets)
