"""float32 beside bfloat16: a student's step, the teachers' outputs for the cache, and what the students are worth.

    python -m benchmarks.precision [--divisor 2] [--seeds 3] [--storage DIR] [--json FILE]

Speeds are of models with the poster's proportions (`--divisor`) or of scale tiny (`--divisor 0`), with the loss of
`trial_throughput`, both precisions in turn in one process. With `--seeds`, students of scale tiny are trained on
`--data` from trained teachers, alone and with the same loss, and their dev cross-entropies are compared seed by seed.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from benchmarks.harness import Aim, Report, paired, parser, ratio
from benchmarks.place import Place, make_place
from benchmarks.sizes import Sizes, poster_sizes
from benchmarks.trial_throughput import SETTINGS, build_caches, speed_of, student_loop
from palenka_tune.cache.build import obtain
from palenka_tune.cache.plan import need_of
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.source import CachedSource
from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.config.recipe import Precision
from palenka_tune.data.prepare import prepare
from palenka_tune.data.windows import Windows, window_tensor
from palenka_tune.distill.loop import computing_in, resolve_precision
from palenka_tune.distill.matmul import multiplies_bfloat16
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.signals import SignalRequest, SignalSource, WindowBatch
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.models.presets import get_preset
from palenka_tune.spaces.resolve import resolve
from palenka_tune.students.bench import Bench, BenchSpec, select_windows
from palenka_tune.students.teachers import obtain_teachers
from palenka_tune.teachers.online import online_source

CPU = torch.device("cpu")
COMPARED: tuple[Precision, ...] = tuple(p for p in get_args(Precision) if p in ("float32", "bfloat16"))
EXACT = {"exact": CacheSettings(form="final_hidden")}


def main(argv: Sequence[str]) -> int:
    arguments = parser("precision", __doc__.partition("\n\n")[0])
    arguments.add_argument(
        "--divisor", type=int, default=2, help="of the poster's widths and vocabulary; 0: scale tiny (default: 2)"
    )
    arguments.add_argument("--batch", type=int, default=16, help="windows of a step (default: 16)")
    arguments.add_argument("--steps", type=int, default=3, help="steps of a round, a third with teachers (default: 3)")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    arguments.add_argument("--threads", type=int, default=1, help="default: 1, as trials that share a machine have")
    arguments.add_argument("--seeds", type=int, default=0, help="students trained in each precision (default: none)")
    arguments.add_argument("--data", default="babytalk", help="corpus of those students (default: babytalk)")
    arguments.add_argument("--storage", default="palenka_runs", help="where their teachers and caches are kept")
    args = arguments.parse_args(argv)
    torch.set_num_threads(args.threads)
    protect(None)
    figures = speeds(args.divisor, args.batch, args.steps, args.rounds)
    gains = {what: ratio(figures[f"{what}: bfloat16"], figures[f"{what}: float32"]) for what in measured(figures)}
    trained = train(args.data, args.seeds, Path(args.storage).absolute()) if args.seeds else {}
    sizes = f"poster's sizes / {args.divisor}" if args.divisor else "scale tiny"
    return Report(
        "precision",
        f"tokens/s by precision ({sizes}, {args.threads} threads)",
        {**vars(args), "multiplies_bfloat16": multiplies_bfloat16(CPU), "loss": str(SETTINGS)},
        ("what", *COMPARED, "gain"),
        [
            (what, *(f"{np.median(figures[f'{what}: {precision}']):,.0f}" for precision in COMPARED), str(gain))
            for what, gain in gains.items()
        ],
        {f"{what}_bfloat16_vs_float32".replace(" ", "_").replace("'", ""): gain for what, gain in gains.items()},
        aims={f"{what}_bfloat16_vs_float32": Aim("at least", 1.5) for what in ("plain", "exact") if args.divisor},
        details={"tokens_per_second": figures, "val_ce": trained},
        notes=lines(trained),
    ).publish(args.json)


def measured(figures: dict[str, list[float]]) -> list[str]:
    """Of what there are figures, without the precision."""
    return list(dict.fromkeys(label.partition(": ")[0] for label in figures))


def tiny_sizes() -> Sizes:
    """Student, teachers, vocabulary and window of scale tiny."""
    teachers = get_preset("GPT2-tiny"), get_preset("Llama-tiny")
    return Sizes(student=get_preset("Student-tiny"), teachers=teachers, vocabulary=2048, window=64)


def speeds(divisor: int, batch: int, steps: int, rounds: int) -> dict[str, list[float]]:
    """Tokens/s, one figure a round, by `WHAT: PRECISION`."""
    with tempfile.TemporaryDirectory(prefix="precision_") as name:
        place = make_place(Path(name), poster_sizes(divisor) if divisor else tiny_sizes())
        windows = Windows({"train": np.arange(4 * batch), "dev": np.arange(8)})
        cache = build_caches(place, windows, Path(name) / "storage", EXACT)["exact"]
        train_windows = window_tensor(windows.array(place.prepared.store, "train"))
        few = max(1, steps // 3)
        contenders: dict[str, Callable[[], float]] = {}
        for what, count in (("plain", steps), ("exact", steps), ("teachers online", few)):
            for precision in COMPARED:
                source: SignalSource | None = None
                if what == "exact":
                    source = CachedSource(cache)
                elif what == "teachers online":
                    source = online_source(place.teachers, place.prepared.store, statistics_sample(train_windows))
                contenders[f"{what}: {precision}"] = speed_of(
                    student_loop(place, windows, source, batch, precision), count
                )
        tokens = train_windows[:batch].long()
        for precision in COMPARED:
            contenders[f"teachers' outputs: {precision}"] = outputs(place, tokens, precision)
        return paired(contenders, rounds)


def outputs(place: Place, tokens: torch.Tensor, precision: Precision) -> Callable[[], float]:
    """What the building of an exact cache spends its time with: both teachers' hidden states of a batch."""
    source = online_source(place.teachers, place.prepared.store, tokens)
    request = SignalRequest(None, tuple(frozenset({teacher.depth}) for teacher in source.teachers))
    batch = WindowBatch("train", torch.arange(len(tokens)), tokens)

    @torch.no_grad()
    def once() -> float:
        started = time.perf_counter()
        with computing_in(resolve_precision(precision, CPU), CPU):
            source.signal(batch, request)
        return tokens.numel() / (time.perf_counter() - started)

    once()
    return once


def train(data: str, seeds: int, storage: Path) -> dict[str, list[float]]:
    """Dev cross-entropy (nats per token), one per seed, of students that are trained in each precision."""
    experiment = resolve("dskd", options={"data.source": data}).experiment
    losses = {"plain": dataclasses.replace(SETTINGS, alpha=0.0, beta=0.0), "distilled": scaled(SETTINGS)}
    prepared = prepare(experiment.data, storage)
    benches = {}
    with ray_session() as resources:
        teachers = obtain_teachers(experiment, prepared, storage, use_gpu=resources.gpus > 0)
        where = tuple(str(teacher.folder) for teacher in teachers)
        for precision in COMPARED:
            cache = obtain(
                need_of([losses["distilled"]], experiment.student_shape, tuple(teacher.shape for teacher in teachers)),
                CacheSettings(form="final_hidden", precision=precision),
                teachers,
                prepared.store,
                select_windows(prepared.store, experiment.student),
                storage,
                lambda: resources,
            )
            spec = BenchSpec(str(prepared.store.folder), experiment.student, where, cache=str(cache.folder))
            benches[precision] = Bench(spec)
    found: dict[str, list[float]] = {}
    for what, settings in losses.items():
        for seed in range(seeds):
            for precision in COMPARED:
                recipe = dataclasses.replace(experiment.recipe, precision=precision)
                loop = benches[precision].loop(settings, recipe, seed=seed)
                loop.run_until(loop.total_steps)
                value = loop.validate(teachers=False)["val_ce"]
                found.setdefault(f"{what}: {precision}", []).append(value)
                print(f"{what} in {precision}, seed {seed}: val/ce {value:.4f}", flush=True)
    return found


def scaled(settings: DistillSettings) -> DistillSettings:
    """The same loss with a layer map that fits models of any depth."""
    projection = dataclasses.replace(settings.projection, layer_map="uniform", rank=None)
    return dataclasses.replace(settings, projection=projection)


def lines(trained: dict[str, list[float]]) -> list[str]:
    """Dev cross-entropies per seed, and how far bfloat16 is from float32 beside how far seeds are from each other."""
    out = []
    for what in measured(trained):
        exact, narrow = (trained[f"{what}: {precision}"] for precision in COMPARED)
        apart = [b - a for a, b in zip(exact, narrow, strict=True)]
        spread = f", seeds {statistics.stdev(exact):.4f} apart (standard deviation)" if len(exact) > 1 else ""
        for precision, values in zip(COMPARED, (exact, narrow), strict=True):
            out.append(f"{what} in {precision}: val/ce {'  '.join(f'{value:.4f}' for value in values)}")
        out.append(f"{what}: bfloat16 {statistics.mean(apart):+.4f} of float32 on average{spread}")
    return out


if __name__ == "__main__":
    raise SystemExit(run(main))
