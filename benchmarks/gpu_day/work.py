"""What all stages measure on: models of the poster's sizes, their cache, a loss, and how a training is timed.

`make` writes everything under a folder once; each stage opens it in a process of its own.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.harness import paired
from benchmarks.peers.ours import FORMS
from benchmarks.place import Place, make_place, open_place
from benchmarks.sizes import poster_sizes
from benchmarks.trial_throughput import build_caches, student_loop
from palenka_tune.cache.resident import ResidentSource
from palenka_tune.cache.source import CachedSource
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import Resources
from palenka_tune.config.files import write_json
from palenka_tune.config.recipe import Precision
from palenka_tune.data.windows import Windows, window_tensor
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.signals import SignalSource
from palenka_tune.distill.static.graph import Capture, cuda_graph

Form = Literal["exact", "sampled"]
Kind = Literal["plain", "exact", "sampled"]
KINDS: tuple[Kind, ...] = ("plain", "exact", "sampled")
DEV = 8  # windows


@dataclass(frozen=True)
class Plan:
    """`folder` holds what was made; `divisor` is of the poster's widths, `steps` are those of a round."""

    folder: Path
    device: str
    divisor: int
    batch: int
    windows: int
    steps: int
    rounds: int

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def capture(self) -> Capture:
        """What steps are made into: a CUDA graph, or on a CPU the function itself, called again."""
        return cuda_graph if self.on_gpu else Again

    def save(self) -> None:
        values = {**asdict(self), "folder": str(self.folder)}
        (self.folder / "plan.json").write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Plan:
        values = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        return cls(**{**values, "folder": folder})


class Again:
    """Stands where a CUDA graph would, for trying the command without a GPU."""

    def __init__(self, body: Callable[[], None], warm_up: int) -> None:
        self.replay = body
        for _ in range(warm_up + 1):
            body()


def make(plan: Plan) -> None:
    """Write a corpus, two random teachers and a cache of each form, with this process alone."""
    folder = plan.folder / "place"
    place = make_place(folder, poster_sizes(plan.divisor))
    here, storage = Resources(((os.cpu_count() or 1, int(plan.on_gpu)),), ray=False), plan.folder / "storage"
    storage.mkdir()
    kept = build_caches(place, _windows(plan), storage, FORMS, lambda: contextlib.nullcontext(here))
    paths = {form: str(cache.folder) for form, cache in kept.items()}
    (plan.folder / "caches.json").write_text(json.dumps(paths), encoding="utf-8")


def _windows(plan: Plan) -> Windows:
    return Windows({"train": np.arange(plan.windows), "dev": np.arange(DEV)})


class Work:
    """What `make` wrote, opened by the stage `name`, whose figures are kept as soon as they are there."""

    def __init__(self, plan: Plan, name: str = "none") -> None:
        self.plan, self.name = plan, name
        self.figures: dict[str, Any] = {}
        self.place: Place = open_place(plan.folder / "place", poster_sizes(plan.divisor))
        self.windows = _windows(plan)
        self.train = window_tensor(self.windows.array(self.place.prepared.store, "train"))

    def note(self, **figures: Any) -> None:
        """Keep figures; what a stage that fails later has noted is not lost."""
        self.figures |= figures
        write_json(self.plan.folder / f"{self.name}.json", self.figures)

    def cache(self, form: Form) -> TeacherCache:
        paths = json.loads((self.plan.folder / "caches.json").read_text(encoding="utf-8"))
        return TeacherCache.open(paths[form])

    def resident(self, kind: Kind) -> SignalSource | None:
        """The teachers' signals on the device; none for plain training."""
        return None if kind == "plain" else ResidentSource(self.cache(kind), self.plan.device)

    def from_disk(self, kind: Kind) -> SignalSource | None:
        """The teachers' signals as steps one by one read them."""
        return None if kind == "plain" else CachedSource(self.cache(kind), self.plan.device)

    def loop(
        self,
        source: SignalSource | None,
        *,
        seed: int = 0,
        precision: Precision = "auto",
        capture: Capture | None = None,
    ) -> TrainingLoop:
        """The product's training loop of a fresh student; `capture` makes its steps into graphs."""
        plan = self.plan
        loop = student_loop(self.place, self.windows, source, plan.batch, precision, seed=seed, device=plan.device)
        loop.capture, loop.falls_back = capture, False  # a capture that fails is an error here
        return loop

    def now(self) -> float:
        """Seconds, with the device's work done."""
        if self.plan.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, function: Callable[[], Any]) -> float:
        started = self.now()
        function()
        return self.now() - started

    def speed(self, loop: TrainingLoop) -> float:
        """Tokens/s over a round's steps; the first step of all is not among them."""
        if loop.step == 0:
            loop.run_until(1)
        before = loop.tokens
        seconds = self.seconds(lambda: loop.run_until(loop.step + self.plan.steps))
        return (loop.tokens - before) / seconds

    def first_step(self, loop: TrainingLoop) -> tuple[float, float | None]:
        """Seconds of the first step, with what is compiled and captured for it, and the most GiB of the GPU that were
        in use meanwhile by all that exists."""
        if self.plan.on_gpu:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        seconds = self.seconds(lambda: loop.run_until(1))
        return seconds, torch.cuda.max_memory_allocated() / 2**30 if self.plan.on_gpu else None

    def in_turn(self, loops: dict[str, TrainingLoop]) -> dict[str, list[float]]:
        """Tokens/s of each, a figure a round."""
        return paired({name: partial(self.speed, loop) for name, loop in loops.items()}, self.plan.rounds)
