"""One student, ready to train: the windows it sees, its teachers, its loss. No Ray in here.

A `Bench` is what all trials on one process share (windows, teachers, layer statistics); `Bench.loop` builds a fresh
student on it. A trial of a search, a finalist and `python -m palenka_tune.distill` all go through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from palenka_tune.config.recipe import Recipe
from palenka_tune.data.store import TokenStore, subset
from palenka_tune.distill.loop import TrainingLoop, steps_for
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.signals import SignalSource
from palenka_tune.models.build import build_for_store
from palenka_tune.models.presets import get_preset
from palenka_tune.search.experiment import StudentSettings, shape_of
from palenka_tune.teachers.online import online_source
from palenka_tune.teachers.spec import open_teacher
from palenka_tune.teachers.worker import window_tensor

STATISTICS_TOKENS = 65_536


@dataclass(frozen=True)
class BenchSpec:
    """Plain data from which any process can open the same bench. `teachers` are folders."""

    store: str
    student: StudentSettings
    teachers: tuple[str, ...]
    device: str = "cpu"


class Bench:
    """Train and dev windows and, once a loss asks for them, the teachers."""

    def __init__(self, spec: BenchSpec) -> None:
        self.spec = spec
        self.store = TokenStore.open(spec.store)
        self.train = select_train(self.store, spec.student)
        self.dev = select_dev(self.store, spec.student)

    @cached_property
    def source(self) -> SignalSource:
        """The teachers; layer statistics are fitted on windows spread over the student's train."""
        count = min(len(self.train), max(1, STATISTICS_TOKENS // self.store.window))
        # spread over the whole of train: its first windows are one source, or one book
        sample = self.train[torch.linspace(0, len(self.train) - 1, count).long()].to(torch.int64)
        teachers = [open_teacher(Path(folder)) for folder in self.spec.teachers]
        return online_source(teachers, self.store, sample, device=self.spec.device)

    def build_student(self, seed: int, device: str | None = None) -> PreTrainedModel:
        """A fresh student; the same weights for the same seed, whatever it will be trained on."""
        preset = get_preset(self.spec.student.preset)
        return build_for_store(preset, self.store, seed=seed, device=device or self.spec.device)

    def total_steps(self, recipe: Recipe) -> int:
        """Optimiser steps of a full training."""
        return steps_for(recipe, len(self.train))

    def loop(self, distill: DistillSettings, recipe: Recipe, *, seed: int) -> TrainingLoop:
        """The training loop of a fresh student under `distill`; alpha = beta = 0 is plain training and opens no
        teacher."""
        shape = shape_of(get_preset(self.spec.student.preset))
        objective: PlainObjective | DistillationObjective = PlainObjective(self.store.pad_id)
        if distill.alpha or distill.beta:
            objective = DistillationObjective(
                distill,
                shape,
                self.source,
                total_steps=self.total_steps(recipe),
                pad_id=self.store.pad_id,
                seed=seed,
            )
        return TrainingLoop(
            self.build_student(seed), objective, self.train, self.dev, recipe, pad_id=self.store.pad_id, seed=seed
        )


def select_train(store: TokenStore, student: StudentSettings) -> Tensor:
    """(N,T) train windows of a student: a fixed share of all, then a fixed choice up to the cap."""
    windows = store.windows("train")
    fraction = student.train_fraction
    if student.train_windows is not None:
        fraction = min(fraction, student.train_windows / len(windows))
    return _choose(windows, fraction)


def select_dev(store: TokenStore, student: StudentSettings) -> Tensor:
    """(N,T) dev windows on which `val/ce` is measured: all, or a fixed choice up to the cap."""
    windows = store.windows("dev")
    return _choose(windows, min(1.0, (student.dev_windows or len(windows)) / len(windows)))


def _choose(windows: np.ndarray, fraction: float) -> Tensor:
    """A fixed, nested choice of windows as a tensor; all of them are mapped from disk, not copied."""
    return window_tensor(windows if fraction >= 1 else windows[subset(len(windows), fraction)])
