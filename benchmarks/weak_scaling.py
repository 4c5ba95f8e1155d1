"""Weak scaling on this machine: 1, 2 and 4 Ray processes with a thread and the same work each.

    python -m benchmarks.weak_scaling [--processes 1 2 4] [--json FILE]

Measured are the three things that a search spreads over a cluster: students that train side by side from one cache,
teachers that train by DDP (gloo, so many windows a process), and the cache's shards. Processes are Ray actors, ready
and warm before the clock starts, and a round ends with the last of them. Models, data and loss are those of
`benchmarks.trial_throughput`. The efficiency is tokens/s of n processes over n times those of one, within a round; on c
cores no more than min(n, c) / n is possible, which the table shows beside it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Ratio, Report, paired, parser
from benchmarks.place import Place, make_place
from benchmarks.sizes import Sizes, poster_sizes
from palenka_tune.cluster.session import available_cpus, protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.errors import UserError

TRIALS, TEACHERS, CACHE = "trials from a cache", "a teacher by DDP", "the cache's shards"


@dataclass(frozen=True)
class Work:
    """What every process is given, as plain data; the work of a round is the same for each of them."""

    sizes: Sizes
    store: str
    teachers: tuple[str, ...]
    folder: str
    cache: str
    processes: int
    batch: int
    steps: int
    teacher_steps: int
    shard: int


class Student:
    """A trial: `steps` steps of a student that learns from the cache."""

    def __init__(self, work: Work, rank: int, size: int) -> None:
        from benchmarks.trial_throughput import SETTINGS
        from palenka_tune.cache.source import CachedSource
        from palenka_tune.cache.store import TeacherCache
        from palenka_tune.distill.loop import TrainingLoop
        from palenka_tune.distill.objective import DistillationObjective
        from palenka_tune.spaces.experiment import shape_of

        _alone()
        store, recipe, train = _data(work, work.batch)
        shape, source = shape_of(work.sizes.student), CachedSource(TeacherCache.open(work.cache))
        objective = DistillationObjective(SETTINGS, shape, source, total_steps=10**6, pad_id=store.pad_id, seed=0)
        model = work.sizes.build(work.sizes.student, seed=rank)
        train = train[: work.shard]
        self.loop = TrainingLoop(
            model, objective, train, train[:8], recipe, pad_id=store.pad_id, seed=rank, total_steps=10**6
        )
        self.steps = work.steps

    def do(self) -> int:
        """Work of a round; returns the tokens that this process went through."""
        before = self.loop.tokens
        self.loop.run_until(self.loop.step + self.steps)
        return self.loop.tokens - before


class Teacher:
    """A rank of a teacher's training: so many windows a step and process, gradients averaged by gloo."""

    def __init__(self, work: Work, rank: int, size: int) -> None:
        import torch.distributed

        from palenka_tune.distill.loop import TrainingLoop, World
        from palenka_tune.distill.objective import PlainObjective
        from palenka_tune.teachers.worker import _distributed

        _alone()
        if size > 1:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            torch.distributed.init_process_group(
                "gloo", init_method=f"file://{work.folder}/group-{size}", rank=rank, world_size=size
            )
        store, recipe, train = _data(work, work.batch * size)
        world = World(rank, size)
        model = _distributed(work.sizes.build(work.sizes.teachers[0], seed=0), torch.device("cpu"), world)
        self.loop = TrainingLoop(
            model,
            PlainObjective(store.pad_id),
            train,
            train[:8],
            recipe,
            pad_id=store.pad_id,
            seed=0,
            world=world,
            total_steps=10**6,
        )
        self.steps, self.size = work.teacher_steps, size

    def do(self) -> int:
        """Work of a round; the loop counts the tokens of all ranks."""
        before = self.loop.tokens
        self.loop.run_until(self.loop.step + self.steps)
        return (self.loop.tokens - before) // self.size


class Writer:
    """A writer of the cache: one shard of its own, again in each round."""

    def __init__(self, work: Work, rank: int, size: int) -> None:
        from palenka_tune.cache.writer import ShardWriter

        _alone()
        self.job, self.rank = cache_job(work), rank
        self.writer = ShardWriter(self.job)
        self.window = work.sizes.window

    def do(self) -> int:
        """Work of a round."""
        self.job.path("train", self.rank).unlink(missing_ok=True)
        return self.writer.write("train", self.rank) * self.window


KINDS: dict[str, Any] = {TRIALS: Student, TEACHERS: Teacher, CACHE: Writer}


def main(argv: Sequence[str]) -> int:
    arguments = parser("weak_scaling", __doc__.partition("\n\n")[0])
    arguments.add_argument(
        "--processes", type=int, nargs="+", default=[1, 2, 4], help="numbers of processes (default: 1 2 4)"
    )
    arguments.add_argument("--divisor", type=int, default=8, help="of the poster's widths and vocabulary (default: 8)")
    arguments.add_argument("--batch", type=int, default=8, help="windows of a step and process (default: 8)")
    arguments.add_argument("--steps", type=int, default=8, help="a student's steps in a round (default: 8)")
    arguments.add_argument("--teacher-steps", type=int, default=3, help="a teacher's steps in a round (default: 3)")
    arguments.add_argument("--shard", type=int, default=32, help="windows of a shard of the cache (default: 32)")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    args = arguments.parse_args(argv)
    counts = sorted({*args.processes, 1})
    if counts[0] < 1:
        raise UserError(f"--processes is {counts[0]}; give 1 or more")
    protect(None)
    figures: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="weak_scaling_") as name:
        place = make_place(Path(name), poster_sizes(args.divisor), lines=max(1500, 20 * args.shard * counts[-1]))
        with ray_session(cpus=max(counts)):
            work = prepare(place, Path(name), args, counts[-1])
            for kind in KINDS:
                figures |= measure(kind, work, counts, args.rounds)
    report(figures, counts, vars(args), load=os.getloadavg()[1]).publish(args.json)
    return 0


def prepare(place: Place, folder: Path, args: Any, most: int) -> Work:
    """The cache that the students read, and what the writers of shards need."""
    from benchmarks.trial_throughput import SETTINGS
    from palenka_tune.cache.build import obtain
    from palenka_tune.cache.plan import need_of
    from palenka_tune.cache.settings import CacheSettings
    from palenka_tune.cache.writer import measure as fit
    from palenka_tune.cluster.session import Resources
    from palenka_tune.data.windows import Windows
    from palenka_tune.spaces.experiment import shape_of

    shapes = tuple(teacher.shape for teacher in place.teachers)
    cache = obtain(
        need_of([SETTINGS], shape_of(place.sizes.student), shapes),
        CacheSettings(form="final_hidden"),
        place.teachers,
        place.prepared.store,
        Windows({"train": np.arange(args.shard), "dev": np.arange(8)}),
        folder / "storage",
        lambda: Resources(((1, 0),)),
    )
    work = Work(
        place.sizes,
        str(place.prepared.store.folder),
        tuple(str(teacher.folder) for teacher in place.teachers),
        str(folder),
        str(cache.folder),
        most,
        args.batch,
        args.steps,
        args.teacher_steps,
        args.shard,
    )
    (folder / "shards").mkdir()
    fit(cache_job(work))
    return work


def cache_job(work: Work) -> Any:
    """A cache with a shard for each process."""
    from benchmarks.trial_throughput import SETTINGS
    from palenka_tune.cache.job import CacheJob
    from palenka_tune.cache.plan import candidates, need_of
    from palenka_tune.cache.settings import CacheSettings
    from palenka_tune.data.windows import Windows
    from palenka_tune.spaces.experiment import shape_of

    shapes = tuple(shape_of(teacher) for teacher in work.sizes.teachers)
    need = need_of([SETTINGS], shape_of(work.sizes.student), shapes)
    plan = candidates(need, CacheSettings(form="final_hidden"), shapes, work.sizes.vocabulary, 0)[0]
    windows = Windows({"train": np.arange(work.shard * work.processes)})
    return CacheJob(work.store, work.teachers, windows, plan, f"{work.folder}/shards", work.shard)


def measure(
    kind: str, work: Work, counts: Sequence[int], rounds: int, log: Callable[[str], None] = print
) -> dict[tuple[str, int], list[float]]:
    """Tokens per second of all processes together, by (kind, number of processes), one per round."""
    import ray

    actor = ray.remote(num_cpus=0)(KINDS[kind])
    crews = {size: [actor.remote(work, rank, size) for rank in range(size)] for size in counts}
    try:
        for crew in crews.values():
            ray.get([member.do.remote() for member in crew])  # warm

        def timed(crew: list[Any]) -> Callable[[], float]:
            def once() -> float:
                started = time.perf_counter()
                tokens = ray.get([member.do.remote() for member in crew])
                return sum(tokens) / (time.perf_counter() - started)

            return once

        found = paired({f"{kind}, {size}": timed(crew) for size, crew in crews.items()}, rounds, log)
    finally:
        for member in (member for crew in crews.values() for member in crew):
            ray.kill(member)
    return {(kind, size): found[f"{kind}, {size}"] for size in counts}


def report(
    figures: dict[tuple[str, int], list[float]],
    counts: Sequence[int],
    settings: dict[str, Any],
    *,
    cores: int | None = None,
    load: float = 0.0,
) -> Report:
    """The table, with what is possible on so many cores beside what was reached."""
    cores = cores or available_cpus()
    efficiencies = {(kind, n): efficiency(each, figures[kind, 1], n) for (kind, n), each in figures.items()}
    notes = [
        f"{n} processes on {cores} cores cannot do more than {cores} do: an efficiency of {ideal(n, cores):g} is all "
        "that is possible"
        for n in counts
        if n > cores
    ]
    # the processes of the last minutes were ours, of which one works at a time for each core
    notes.append(f"load over the last five minutes: {load:.1f}; above {max(counts)} others were at work too")
    return Report(
        "weak_scaling",
        f"Weak scaling, a thread and the same work for each process (poster's sizes / {settings['divisor']})",
        settings,
        ("work", "processes", "tokens/s in all", "per process", "efficiency", "possible"),
        [
            (
                kind,
                str(n),
                f"{statistics.median(each):,.0f}",
                f"{statistics.median(each) / n:,.0f}",
                str(efficiencies[kind, n]),
                f"{ideal(n, cores):.3g}",
            )
            for (kind, n), each in figures.items()
        ],
        {f"{kind}: efficiency of {n}": value for (kind, n), value in efficiencies.items() if n > 1},
        details={"tokens_per_second": {f"{kind}, {n}": each for (kind, n), each in figures.items()}, "load": load},
        notes=notes,
    )


def efficiency(many: Sequence[float], one: Sequence[float], processes: int) -> Ratio:
    """Round by round, speed of `processes` over so many times the speed of one."""
    each = [top / (processes * bottom) for top, bottom in zip(many, one, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def ideal(processes: int, cores: int) -> float:
    """The efficiency that so many cores allow processes of one thread."""
    return min(processes, cores) / processes


def _data(work: Work, batch: int) -> tuple[Any, Any, Any]:
    """Token store, recipe and train windows."""
    from palenka_tune.config.recipe import Recipe
    from palenka_tune.data.store import TokenStore
    from palenka_tune.data.windows import window_tensor

    store = TokenStore.open(work.store)
    train = window_tensor(store.windows("train")[: work.shard * work.processes])
    return store, Recipe(lr=1e-3, batch_size=batch, warmup_steps=10), train


def _alone() -> None:
    """This process computes with one thread."""
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    raise SystemExit(run(main))
