"""Caches of two small teachers over a hundred windows, built in this process instead of on Ray.

`python -m tests.support.small_cache PLACE STORAGE SHARDS` is a build that is killed while it writes one shard more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from palenka_tune.cache import build, job, shards
from palenka_tune.cache.plan import Need, need_of
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import Resources
from palenka_tune.config.recipe import Precision, Recipe
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.data.store import TokenStore
from palenka_tune.data.windows import Windows
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.spaces.experiment import StudentSettings, shape_of
from palenka_tune.students.bench import Bench, BenchSpec, select_windows
from palenka_tune.teachers.spec import Teacher, open_teacher
from tests.support.small_place import VOCABULARY, WINDOW, make_place

STUDENT = StudentSettings("Student-tiny", train_windows=96, dev_windows=32)
SHARDS = ["dev-00000.arrow", "train-00000.arrow", "train-00001.arrow", "train-00002.arrow"]
HERE = Resources(((1, 0),), ray=False)
PRECISION: Precision = "float32"  # what is kept is compared with what the teachers say
RECIPE = Recipe(lr=3e-3, batch_size=8, epochs=1, warmup_steps=2, precision=PRECISION)


@dataclass(frozen=True)
class Place:
    """A corpus, two teachers that have opinions, and what a build of their cache needs."""

    folder: Path
    teachers: list[Teacher]
    store: TokenStore

    @classmethod
    def make(cls, folder: Path) -> Place:
        for teacher in make_place(folder):
            sharpen(Path(teacher))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Place:
        teachers = [open_teacher(folder / name) for name in ("GPT2-tiny", "Llama-tiny")]
        return cls(
            folder, teachers, prepare(DataSettings(str(folder / "data"), VOCABULARY, WINDOW), folder / "runs").store
        )

    @property
    def shapes(self):
        return tuple(teacher.shape for teacher in self.teachers)

    @property
    def windows(self) -> Windows:
        return select_windows(self.store, STUDENT)

    def need(self, *losses: DistillSettings) -> Need:
        from palenka_tune.models.presets import get_preset

        return need_of(losses, shape_of(get_preset(STUDENT.preset)), self.shapes)

    def cache(self, storage: Path, *losses: DistillSettings, seed: int = 0, **settings: Any) -> TeacherCache:
        """What `losses` need, built in this process or found in `storage`."""
        storage.mkdir(exist_ok=True)
        with small_shards():
            return build.obtain(
                self.need(*losses),
                CacheSettings(**{"precision": PRECISION, **settings}),
                self.teachers,
                self.store,
                self.windows,
                storage,
                lambda: HERE,
                seed=seed,
            )

    def bench(self, cache: TeacherCache | None = None, student: StudentSettings = STUDENT) -> Bench:
        folders = tuple(str(teacher.folder) for teacher in self.teachers)
        return Bench(BenchSpec(str(self.store.folder), student, folders, "cpu", cache and str(cache.folder)))


def sharpen(teacher: Path) -> None:
    """Larger output weights: an untrained teacher is close to uniform, where any two losses agree."""
    from safetensors.torch import load_file, save_file

    path = teacher / "model.safetensors"
    tensors = load_file(path)
    for name in tensors:
        if name.endswith(("wte.weight", "embed_tokens.weight", "lm_head.weight")):
            tensors[name] = tensors[name] * 8
    save_file(tensors, path, {"format": "pt"})


def loss(alpha: float = 1.0, beta: float = 3.0, temperature: float = 2.0, **projection: Any) -> DistillSettings:
    return DistillSettings(alpha, beta, temperature, projection=ProjectionSettings(**projection))


@contextlib.contextmanager
def small_shards() -> Iterator[None]:
    """Shards of 32 windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "SHARD_BYTES", 1)
        yield


def contents(cache: TeacherCache) -> dict[str, str]:
    """SHA-256 of every file."""
    return {name: entry["sha256"] for name, entry in cache.manifest["files"].items()}


def shard_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.arrow")}


def interrupt_at(patch: pytest.MonkeyPatch, number: int, fault: Any) -> None:
    """Call `fault` when the shard after `number` others has been written but has not got its name."""
    original, calls = shards.atomic_path, []

    @contextlib.contextmanager
    def interrupted(path: Path) -> Iterator[Path]:
        with original(path) as temporary:
            yield temporary
            calls.append(path)
            if len(calls) > number:
                fault()

    patch.setattr(shards, "atomic_path", interrupted)


if __name__ == "__main__":
    torch.set_num_threads(1)
    interrupt_at(pytest.MonkeyPatch(), int(sys.argv[3]), lambda: os.kill(os.getpid(), signal.SIGKILL))
    Place.open(Path(sys.argv[1])).cache(Path(sys.argv[2]), loss(rank=8), form="sampled")
