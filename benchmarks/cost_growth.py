"""How the time of a search grows with its trials: students alone, distilled from a cache, and beside their teachers.

    python -m benchmarks.cost_growth [--trials 1 4 16] [--json FILE]

A trial is a fresh student trained for a fixed number of steps, one after another on all cores, without Ray Tune. The
time of n trials from a cache includes building it. A line through (n, seconds) gives the intercept, what is paid once,
and the slope, what each further trial costs. Models, loss and data are those of `benchmarks.trial_throughput`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import Aim, Report, parser, ratio
from benchmarks.place import Place, make_place
from benchmarks.sizes import poster_sizes
from benchmarks.trial_throughput import SETTINGS
from palenka_tune.cache.build import obtain
from palenka_tune.cache.job import caches_folder
from palenka_tune.cache.plan import need_of
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.source import CachedSource
from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.windows import Windows, window_tensor
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.signals import SignalSource
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.spaces.experiment import shape_of
from palenka_tune.teachers.online import online_source

PLAIN, CACHED, ONLINE = "plain CE", "from the cache", "teachers online"
AIMED_AT = 4  # the largest divisor at which it is aimed at


def main(argv: Sequence[str]) -> int:
    arguments = parser("cost_growth", __doc__.partition("\n\n")[0])
    arguments.add_argument(
        "--trials", type=int, nargs="+", default=[1, 4, 16], help="numbers of trials (default: 1 4 16)"
    )
    arguments.add_argument(
        "--online-most", type=int, default=4, help="most trials run beside the teachers (default: 4)"
    )
    arguments.add_argument("--divisor", type=int, default=4, help="of the poster's widths and vocabulary (default: 4)")
    arguments.add_argument("--windows", type=int, default=64, help="train windows of a trial (default: 64)")
    arguments.add_argument("--epochs", type=int, default=2, help="epochs of a trial (default: 2)")
    arguments.add_argument("--batch", type=int, default=16, help="windows of a step (default: 16)")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    args = arguments.parse_args(argv)
    protect(None)
    with tempfile.TemporaryDirectory(prefix="cost_growth_") as name:
        place = make_place(Path(name), poster_sizes(args.divisor))
        growth = Growth(place, args.windows, args.epochs * args.windows // args.batch, args.batch)
        counts = {PLAIN: args.trials, CACHED: args.trials, ONLINE: [n for n in args.trials if n <= args.online_most]}
        lines: dict[str, list[tuple[float, float]]] = {kind: [] for kind in counts}
        totals: dict[str, list[list[float]]] = {kind: [] for kind in counts}
        for number in range(args.rounds):
            for kind, seconds in growth.measure(counts).items():
                slope, intercept = np.polyfit(counts[kind], seconds, 1)
                totals[kind].append(seconds)
                lines[kind].append((float(intercept), float(slope)))
                print(f"round {number + 1}/{args.rounds}  {kind:<16} {dict(zip(counts[kind], seconds, strict=True))}")
    slopes = {kind: [slope for _, slope in found] for kind, found in lines.items()}
    intercepts = {kind: float(np.median([intercept for intercept, _ in found])) for kind, found in lines.items()}
    slope = {kind: float(np.median(found)) for kind, found in slopes.items()}
    pays = (intercepts[CACHED] - intercepts[ONLINE]) / (slope[ONLINE] - slope[CACHED])
    return Report(
        "cost_growth",
        f"Seconds of n trials, poster's sizes / {args.divisor}",
        vars(args),
        ("contender", *(f"n = {n}" for n in args.trials), "intercept (s)", "slope (s a trial)"),
        [
            (
                kind,
                *(
                    f"{np.median([found[counts[kind].index(n)] for found in totals[kind]]):.1f}"
                    if n in counts[kind]
                    else f"({intercepts[kind] + slope[kind] * n:.1f})"
                    for n in args.trials
                ),
                f"{intercepts[kind]:.1f}",
                f"{slope[kind]:.2f}",
            )
            for kind in counts
        ],
        {
            "cached_slope_vs_plain": ratio(slopes[CACHED], slopes[PLAIN]),
            "online_slope_vs_plain": ratio(slopes[ONLINE], slopes[PLAIN]),
            "online_slope_vs_cached": ratio(slopes[ONLINE], slopes[CACHED]),
        },
        aims={"cached_slope_vs_plain": Aim("at most", 1.3)} if args.divisor <= AIMED_AT else {},
        details={"seconds": totals, "counts": counts},
        notes=[
            f"the cache pays from {max(1, int(np.ceil(pays)))} trials on; in parentheses: by the line, not run",
        ],
    ).publish(args.json)


class Growth:
    """Runs trials of each kind."""

    def __init__(self, place: Place, windows: int, steps: int, batch: int) -> None:
        self.place, self.steps, self.batch = place, steps, batch
        self.windows = Windows({"train": np.arange(windows), "dev": np.arange(8)})
        self.train = window_tensor(self.windows.array(place.prepared.store, "train"))

    def measure(self, counts: dict[str, list[int]]) -> dict[str, list[float]]:
        """Per kind the seconds of each number of trials: what it takes to begin, and the trials one after another. The
        kinds take turns, so that whatever else the machine does falls on all of them."""
        sources, seconds = {}, {}
        for kind, open_source in {PLAIN: lambda: None, CACHED: self.cached, ONLINE: self.online}.items():
            started = time.perf_counter()
            sources[kind] = open_source()
            seconds[kind] = [time.perf_counter() - started]
        for seed in range(max(max(numbers) for numbers in counts.values())):
            for kind in list(counts) if seed % 2 == 0 else list(counts)[::-1]:
                if seed < max(counts[kind]):
                    started = time.perf_counter()
                    self.trial(sources[kind], seed)
                    seconds[kind].append(seconds[kind][-1] + time.perf_counter() - started)
        return {kind: [seconds[kind][n] for n in numbers] for kind, numbers in counts.items()}

    def cached(self) -> SignalSource:
        """A cache built anew, in a Ray session of its own as a search has."""
        place = self.place
        storage = place.prepared.store.folder.parents[2]
        shutil.rmtree(caches_folder(storage), ignore_errors=True)
        need = need_of([SETTINGS], shape_of(place.sizes.student), tuple(t.shape for t in place.teachers))
        with ray_session() as resources:
            cache = obtain(
                need,
                CacheSettings(),
                place.teachers,
                place.prepared.store,
                self.windows,
                storage,
                lambda: resources,
            )
        return CachedSource(cache)

    def online(self) -> SignalSource:
        return online_source(self.place.teachers, self.place.prepared.store, statistics_sample(self.train))

    def trial(self, source: SignalSource | None, seed: int) -> None:
        store, sizes = self.place.prepared.store, self.place.sizes
        objective: PlainObjective | DistillationObjective = PlainObjective(store.pad_id)
        if source is not None:
            shape = shape_of(sizes.student)
            objective = DistillationObjective(
                SETTINGS, shape, source, total_steps=self.steps, pad_id=store.pad_id, seed=seed
            )
        loop = TrainingLoop(
            sizes.build(sizes.student, seed=seed),
            objective,
            self.train,
            self.train[:8],
            Recipe(lr=1e-3, batch_size=self.batch, warmup_steps=2),
            pad_id=store.pad_id,
            seed=seed,
            total_steps=self.steps,
        )
        loop.run_until(self.steps)


if __name__ == "__main__":
    raise SystemExit(run(main))
