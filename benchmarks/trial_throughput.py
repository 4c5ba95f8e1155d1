"""Tokens per second of a student's training: alone, distilled from the cache, beside its teachers, and as the poster
trained.

    python -m benchmarks.trial_throughput [--divisor 2] [--precision float32] [--json FILE]

The models have the poster's proportions, its widths and vocabulary divided by `--divisor` (`benchmarks.sizes`); the
loss is alpha 1, beta 3, tau 2 with the poster's layer maps and 64 components of each hidden state. Every contender but
the poster's loop is the product's own training loop, reading from the product's own cache on disk.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from benchmarks.harness import Aim, Report, paired, parser, ratio
from benchmarks.place import Place, make_place
from benchmarks.poster_loop import check_trainer, poster_throughput
from benchmarks.sizes import poster_sizes
from palenka_tune.cache.build import obtain
from palenka_tune.cache.plan import need_of
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.source import CachedSource
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import Resources, protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.config.recipe import Precision, Recipe
from palenka_tune.data.windows import Windows, window_tensor
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.signals import SignalSource
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.models.export import load_model
from palenka_tune.spaces.experiment import shape_of
from palenka_tune.teachers.online import online_source

SETTINGS = DistillSettings(
    alpha=1.0, beta=3.0, temperature=2.0, projection=ProjectionSettings(rank=64, layer_map="poster")
)
FORMS = {
    "cached, exact (final_hidden)": CacheSettings(form="final_hidden"),
    "cached, exact (final_hidden, int8 states)": CacheSettings(form="final_hidden", hidden="int8"),
    "cached, exact (dense)": CacheSettings(form="dense"),
    "cached, sampled": CacheSettings(form="sampled"),
}

AIMED_AT = 2  # the largest divisor: smaller students are dominated by what is no matrix product
AIMS = {
    "cached_exact_vs_plain": Aim("at least", 0.7),
    "cached_sampled_vs_plain": Aim("at least", 0.85),
    "cached_exact_vs_online": Aim("at least", 4.5),
    "cached_exact_vs_poster_loop": Aim("at least", 5),
}


def main(argv: Sequence[str]) -> int:
    arguments = parser("trial_throughput", __doc__.partition("\n\n")[0])
    arguments.add_argument("--divisor", type=int, default=2, help="of the poster's widths and vocabulary (default: 2)")
    arguments.add_argument("--windows", type=int, default=48, help="windows in the cache (default: 48)")
    arguments.add_argument("--batch", type=int, default=16, help="windows of a step (default: 16)")
    arguments.add_argument("--steps", type=int, default=3, help="steps of a round, a third with teachers (default: 3)")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    arguments.add_argument(
        "--precision", choices=get_args(Precision), default="auto", help="of all contenders (default: auto)"
    )
    args = arguments.parse_args(argv)
    check_trainer()
    sizes = poster_sizes(args.divisor)
    protect(None)
    with tempfile.TemporaryDirectory(prefix="trial_throughput_") as name:
        place = make_place(Path(name), sizes)
        windows = Windows({"train": np.arange(args.windows), "dev": np.arange(8)})
        caches = build_caches(place, windows, Path(name) / "storage")
        figures = paired(contenders(place, windows, caches, args.batch, args.steps, args.precision), args.rounds)
        report = Report(
            "trial_throughput",
            f"Training a student, tokens/s (poster's sizes / {args.divisor}, {torch.get_num_threads()} threads)",
            {**vars(args), "threads": torch.get_num_threads(), "loss": str(SETTINGS)},
            ("contender", "tokens/s", "of plain", "bytes a token"),
            [
                (
                    label,
                    f"{np.median(values):,.0f}",
                    str(ratio(values, figures["plain CE"])),
                    f"{caches[label].manifest['bytes_per_token']:,}" if label in caches else "",
                )
                for label, values in figures.items()
            ],
            {
                "cached_exact_vs_plain": ratio(figures["cached, exact (final_hidden)"], figures["plain CE"]),
                "cached_sampled_vs_plain": ratio(figures["cached, sampled"], figures["plain CE"]),
                "cached_exact_vs_online": ratio(figures["cached, exact (final_hidden)"], figures["teachers online"]),
                "cached_exact_vs_poster_loop": ratio(figures["cached, exact (final_hidden)"], figures["poster's loop"]),
            },
            aims=AIMS if args.divisor <= AIMED_AT else {},
            details={"tokens_per_second": figures},
        )
    return report.publish(args.json)


def build_caches(
    place: Place,
    windows: Windows,
    storage: Path,
    forms: Mapping[str, CacheSettings] = FORMS,
    session: Callable[[], contextlib.AbstractContextManager[Resources]] = ray_session,
) -> dict[str, TeacherCache]:
    """One cache per form, by the product's own builder on the resources of `session`."""
    shapes = tuple(teacher.shape for teacher in place.teachers)
    need = need_of([SETTINGS], shape_of(place.sizes.student), shapes)
    with session() as resources:
        return {
            label: obtain(need, settings, place.teachers, place.prepared.store, windows, storage, lambda: resources)
            for label, settings in forms.items()
        }


def contenders(
    place: Place, windows: Windows, caches: dict[str, TeacherCache], batch: int, steps: int, precision: Precision
) -> dict[str, Callable[[], float]]:
    """Functions that train on for a few steps and give tokens/s."""
    train = window_tensor(windows.array(place.prepared.store, "train"))

    def timed(source: SignalSource | None, count: int) -> Callable[[], float]:
        return speed_of(student_loop(place, windows, source, batch, precision), count)

    online = online_source(place.teachers, place.prepared.store, statistics_sample(train))
    students = {"plain CE": timed(None, steps)}
    students |= {label: timed(CachedSource(cache), steps) for label, cache in caches.items()}
    few = max(1, steps // 3)
    teachers = [load_model(teacher.folder)[0] for teacher in place.teachers]  # those of the online source are changed
    return students | {
        "teachers online": timed(online, few),
        "poster's loop": lambda: poster_throughput(
            place.sizes.build(place.sizes.student, seed=0), teachers, train.long(), batch, few, precision=precision
        ),
    }


def student_loop(
    place: Place,
    windows: Windows,
    source: SignalSource | None,
    batch: int,
    precision: Precision = "auto",
    *,
    seed: int = 0,
    device: str = "cpu",
) -> TrainingLoop:
    """The product's loop of a fresh student, distilled from `source` or alone."""
    store, preset = place.prepared.store, place.sizes.student
    train = window_tensor(windows.array(store, "train"))
    objective: PlainObjective | DistillationObjective = PlainObjective(store.pad_id)
    if source is not None:
        shape = shape_of(preset)
        objective = DistillationObjective(SETTINGS, shape, source, total_steps=10**6, pad_id=store.pad_id, seed=seed)
    recipe = Recipe(lr=1e-3, batch_size=batch, warmup_steps=10, precision=precision)
    student = place.sizes.build(preset, seed=seed, device=device)
    return TrainingLoop(student, objective, train, train[:8], recipe, pad_id=store.pad_id, seed=seed, total_steps=10**6)


def speed_of(made: TrainingLoop, count: int) -> Callable[[], float]:
    """A function that trains `count` steps and gives tokens/s."""

    def once() -> float:
        made.run_until(made.step + 1)  # warm: caches of the processor were another's
        started, before = time.perf_counter(), made.tokens
        made.run_until(made.step + count)
        return (made.tokens - before) / (time.perf_counter() - started)

    return once


if __name__ == "__main__":
    raise SystemExit(run(main))
