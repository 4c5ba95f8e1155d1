"""Training throughput on one GPU at the poster's own sizes, on random tokens, without Ray.

    python -m benchmarks.gpu [--divisor 1] [--batch 32] [--steps 20] [--rounds 3] [--json FILE]

Contenders, in turn: the student on plain cross-entropy; deeply supervised distillation from signals kept in pinned
memory, with exact logits and with sampled ones; the same distillation with the teachers run on every step; and the
poster's loop in a `transformers.Trainer`. Each builds what it needs on the GPU, warms up, is timed over `--steps`
optimiser steps and leaves the GPU as it found it, so that its peak memory is its own. All run in the precision that
`auto` resolves to (bfloat16 autocast where the GPU has it). Kept full logits are left out: at the poster's vocabulary
they are far larger than everything else. `--device cpu` is meant for trying the command with a large divisor.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import Report, paired, parser, ratio
from benchmarks.kept_signals import KeptSignals, record
from benchmarks.poster_loop import check_trainer, poster_throughput
from benchmarks.sizes import DIVISORS, Sizes, poster_sizes
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.commands.options import run
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.tokenizer import PAD_ID
from palenka_tune.distill.loop import Objective, TrainingLoop, resolve_precision
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.distill.signals import OnlineSource, SignalSource
from palenka_tune.distill.statistics import LayerStatistics, statistics_sample
from palenka_tune.errors import UserError
from palenka_tune.spaces.experiment import shape_of

WARM_UP = 3  # optimiser steps
RANK, SAMPLES = 64, CacheSettings().samples
SEED = 0
PAIRS = (
    ("cached_exact", "plain"),
    ("cached_sampled", "plain"),
    ("cached_exact", "online"),
    ("cached_exact", "poster_loop"),
)


@dataclass(frozen=True)
class Plan:
    """What is measured: sizes, windows per step, timed steps, windows that exist, and where."""

    sizes: Sizes
    batch: int
    steps: int
    count: int
    device: torch.device

    @property
    def rank(self) -> int:
        return min(RANK, *(teacher.width for teacher in self.sizes.teachers))

    @property
    def settings(self) -> DistillSettings:
        """Logits and nine hidden states per teacher, the layers of the poster's map, at their leading components."""
        return DistillSettings(projection=ProjectionSettings(rank=self.rank, layer_map="poster"))


class TeachersOnline(OnlineSource):
    """Teachers that run, with layer statistics that were fitted before: fitting them is no part of a step."""

    def __init__(self, *args: Any, fitted: dict[tuple[int, int], LayerStatistics]) -> None:
        super().__init__(*args)
        self.fitted = fitted

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        return self.fitted[teacher, layer]


class Bench:
    """The contenders. Teachers and kept signals are made once and wait in main memory; `peaks` collects bytes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.peaks: dict[str, list[int]] = {}
        self.windows_NT = plan.sizes.windows(plan.count, seed=SEED)
        self.teachers = [
            plan.sizes.build(preset, seed=SEED + 1 + number) for number, preset in enumerate(plan.sizes.teachers)
        ]
        self.kept = self._record()

    def _record(self) -> KeptSignals:
        """Run the teachers once over all windows, in the precision of training."""
        source = OnlineSource(*self._teaching())
        probe = DistillationObjective(
            self.plan.settings, shape_of(self.plan.sizes.student), source, total_steps=1, pad_id=PAD_ID, seed=SEED
        )
        kept = record(source, self.windows_NT, probe.request(1.0, 1.0), rank=self.plan.rank, samples=SAMPLES)
        self._release()
        return kept

    def _teaching(self) -> tuple[list[Any], list[ModelShape], Tensor, int]:
        """What an `OnlineSource` is made of, with the teachers on the device."""
        models = [teacher.to(self.plan.device) for teacher in self.teachers]
        shapes = [shape_of(preset) for preset in self.plan.sizes.teachers]
        return models, shapes, statistics_sample(self.windows_NT), PAD_ID

    def _release(self) -> None:
        """Bring the teachers back to main memory and give the GPU's free memory back."""
        for teacher in self.teachers:
            teacher.to("cpu")
        gc.collect()
        if self.plan.device.type == "cuda":
            torch.cuda.empty_cache()

    def contenders(self) -> dict[str, Callable[[], float]]:
        """By name: functions that give tokens per second."""
        runs: dict[str, Callable[[], float]] = {
            "plain": self._plain,
            "cached_exact": partial(self._cached, "exact"),
            "cached_sampled": partial(self._cached, "sampled"),
            "online": self._online,
            "poster_loop": self._poster_loop,
        }
        return {name: partial(self._measured, name, function) for name, function in runs.items()}

    def _measured(self, name: str, function: Callable[[], float]) -> float:
        cuda = self.plan.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        try:
            throughput = function()
            if cuda:
                self.peaks.setdefault(name, []).append(torch.cuda.max_memory_allocated())
        finally:
            self._release()
        return throughput

    def _student(self) -> Any:
        return self.plan.sizes.build(self.plan.sizes.student, seed=SEED, device=self.plan.device)

    def _plain(self) -> float:
        return self._train(PlainObjective(PAD_ID))

    def _cached(self, form: str) -> float:
        return self._distil(self.kept.source(form, self.plan.device))

    def _online(self) -> float:
        return self._distil(TeachersOnline(*self._teaching(), fitted=self.kept.statistics))

    def _distil(self, source: SignalSource) -> float:
        objective = DistillationObjective(
            self.plan.settings,
            shape_of(self.plan.sizes.student),
            source,
            total_steps=WARM_UP + self.plan.steps,
            pad_id=PAD_ID,
            seed=SEED,
        )
        return self._train(objective)

    def _train(self, objective: Objective) -> float:
        """Tokens per second of the product's training loop after its warm-up."""
        plan = self.plan
        loop = TrainingLoop(
            self._student(),
            objective,
            self.windows_NT,
            self.windows_NT[:1],
            Recipe(lr=2.5e-4, batch_size=plan.batch, warmup_steps=200),
            pad_id=PAD_ID,
            seed=SEED,
            total_steps=WARM_UP + plan.steps,
        )
        loop.run_until(WARM_UP)
        started = self._now()
        loop.run_until(WARM_UP + plan.steps)
        return plan.steps * plan.batch * plan.sizes.window / (self._now() - started)

    def _now(self) -> float:
        if self.plan.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _poster_loop(self) -> float:
        plan = self.plan
        return poster_throughput(
            self._student(), self.teachers, self.windows_NT, plan.batch, plan.steps, warm_up=WARM_UP
        )


def measure(plan: Plan, rounds: int, log: Callable[[str], None] = print) -> Report:
    """Run all contenders `rounds` times in turn."""
    log("the teachers are run once over all windows, and what they say is kept")
    bench = Bench(plan)
    figures = paired(bench.contenders(), rounds, log)
    gib = {name: max(peaks) / 2**30 for name, peaks in bench.peaks.items()}
    precision = str(resolve_precision("auto", plan.device)).removeprefix("torch.")
    sizes = plan.sizes
    return Report(
        name="gpu",
        title=f"Training throughput of {sizes.student.name}, teachers {' and '.join(p.name for p in sizes.teachers)}",
        settings={
            "student": sizes.student.architecture,
            "teachers": [preset.architecture for preset in sizes.teachers],
            "vocabulary": sizes.vocabulary,
            "window": sizes.window,
            "batch": plan.batch,
            "steps": plan.steps,
            "rounds": rounds,
            "windows": plan.count,
            "rank": plan.rank,
            "samples": SAMPLES,
            "precision": precision,
            "device": str(plan.device),
        },
        columns=("contender", "tokens/s", "peak GPU memory, GiB"),
        rows=[
            (name, f"{statistics.median(each):,.0f}", f"{gib[name]:.2f}" if name in gib else "not measured")
            for name, each in figures.items()
        ],
        ratios={f"{top}_vs_{bottom}": ratio(figures[top], figures[bottom]) for top, bottom in PAIRS},
        details={"tokens_per_second": figures, "peak_bytes": bench.peaks, "kept_bytes": bench.kept.bytes},
        notes=[
            f"precision {precision}, batches of {plan.batch} windows of {sizes.window} random tokens, "
            f"{plan.steps} steps after {WARM_UP} to warm up",
            *(
                f"kept per window, {form}: {size / plan.count / 2**10:,.1f} KiB"
                for form, size in bench.kept.bytes.items()
            ),
        ],
    )


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    if options.device == "cuda":
        # before CUDA starts: the Trainer would spread its batches over every GPU that it sees
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "this benchmark needs a CUDA device and none was found; run it on a machine with a GPU, or try the command "
            "with --device cpu --divisor 16 --batch 2"
        )
    for name in ("batch", "steps", "rounds"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} is {getattr(options, name)}; it must be 1 or more")
    check_trainer()
    count = max(options.windows, options.batch)
    plan = Plan(poster_sizes(options.divisor), options.batch, options.steps, count, torch.device(options.device))
    measure(plan, options.rounds).publish(options.json)
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    made = parser("gpu", str(__doc__).partition("\n")[0])
    made.add_argument("--divisor", type=int, default=1, choices=DIVISORS, help="of the poster's widths (default: 1)")
    made.add_argument("--batch", type=int, default=32, help="windows per optimiser step (default: 32)")
    made.add_argument("--steps", type=int, default=20, help="timed optimiser steps per contender (default: 20)")
    made.add_argument("--rounds", type=int, default=3, help="times that each contender runs (default: 3)")
    made.add_argument("--windows", type=int, default=256, help="windows that signals are kept for (default: 256)")
    made.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="default: cuda")
    return made.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(run(main))
