"""A whole search: the product beside stock Ray Tune, on the same space, teachers and steps, with start-up and cache.

    python -m benchmarks.peers.whole_search [--samples 12] [--json FILE]
    python -m benchmarks.peers.whole_search --divisor 4 --windows 512 --teacher-windows 1600 --samples 20 --reuse-only

The models are those of scale tiny, or with `--divisor` have the poster's proportions (`benchmarks.sizes`). Stock is
`benchmarks.peers.stock_tune`: `OptunaSearch`, `ASHAScheduler`, teachers forward on every step, with and without
`reuse_actors`. The product's search comes first, and stock may take as many steps. It divides its samples among three
arms, as it does by default; stock searches what is one of them, so the product's search of that arm alone stands
beside it. The best settings of each are trained with fresh seeds by the product's loop, at the full budget, and
compared on dev.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from ray import tune

from benchmarks.harness import Aim, Ratio, Report, parser
from benchmarks.peers import stock_tune
from benchmarks.search_vs_grid import BABYTALK_WORDS, TEACHERS, train_teacher
from benchmarks.sizes import STUDENT, poster_sizes
from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.data.babytalk.corpus import write_corpus
from palenka_tune.data.prepare import prepare
from palenka_tune.models.build import build_for_store
from palenka_tune.models.export import export_student
from palenka_tune.spaces.resolve import resolve
from palenka_tune.students.bench import Bench, BenchSpec

RANGES = {"lr": (1e-3, 1e-2), "alpha": (0.3, 30.0), "beta": (0.1, 10.0)}
TEMPERATURES = (1.0, 2.0)
RUNGS = (0.25, 0.5)


def main(argv: Sequence[str]) -> int:
    arguments = parser("peers.whole_search", __doc__.partition("\n\n")[0])
    arguments.add_argument(
        "--divisor", type=int, default=0, help="of the poster's widths and vocabulary; 0: scale tiny (default: 0)"
    )
    arguments.add_argument("--windows", type=int, default=2304, help="train windows of a student (default: 2304)")
    arguments.add_argument("--dev-windows", type=int, default=512, help="on which trials are measured (default: 512)")
    arguments.add_argument("--epochs", type=float, default=2.0, help="epochs of a student (default: 2)")
    arguments.add_argument("--teacher-windows", type=int, default=8192, help="train windows of the teachers, one epoch")
    arguments.add_argument("--samples", type=int, default=12, help="trials that the product proposes (default: 12)")
    arguments.add_argument("--seeds", type=int, default=3, help="fresh seeds of the best of each (default: 3)")
    arguments.add_argument("--reuse-only", action="store_true", help="leave out stock without reuse_actors")
    args = arguments.parse_args(argv)
    protect(None)
    with tempfile.TemporaryDirectory(prefix="whole_search_") as name:
        folder = Path(name)
        write_corpus(folder / "corpus", words={"train": BABYTALK_WORDS})
        space = _space(folder, args, [])
        prepared = prepare(resolve(str(space)).experiment.data, folder / "storage")
        presets, lr = (poster_sizes(args.divisor).teachers, 1e-3) if args.divisor else (TEACHERS["tiny"], 2e-3)
        teachers = [str(train_teacher(each, prepared, folder, args.teacher_windows, lr=lr)) for each in presets]
        space = _space(folder, args, teachers)
        config = resolve(str(space))
        bench = Bench(BenchSpec(str(prepared.store.folder), config.experiment.student, tuple(teachers)))
        total = bench.total_steps(config.experiment.recipe)
        found = {"palenka_tune": _ours(folder, space, args.samples, "ours")}
        budget = found["palenka_tune"][1]
        alone = _space(folder, args, teachers, arms={"hidden": 1})
        found["palenka_tune, one arm"] = _ours(folder, alone, args.samples, "alone")
        task = _task(folder, bench, prepared, teachers, total, config.experiment.recipe)
        for reuse in (True,) if args.reuse_only else (False, True):
            label = "stock Ray Tune" + (", reuse_actors" if reuse else "")
            started = time.perf_counter()
            with ray_session():
                best, steps = stock_tune.search(task, budget, reuse_actors=reuse, seed=0, folder=folder / "stock")
            found[label] = time.perf_counter() - started, steps, _named(best)
        quality = {label: _trained(bench, config, best, args.seeds) for label, (_, _, best) in found.items()}
    return report(args, found, quality).publish(args.json)


def report(args: Any, found: dict[str, tuple[float, int, dict[str, Any]]], quality: dict[str, list[float]]) -> Report:
    """Wall time, steps and what the best settings are worth."""
    ours = found["palenka_tune"][0]
    sizes = f"poster's sizes / {args.divisor}" if args.divisor else "scale tiny"
    return Report(
        "whole_search",
        f"A whole search, start-up and cache counted ({sizes}, two trials at a time)",
        vars(args),
        ("search", "seconds", "student steps", "val/ce of its best, fresh seeds"),
        [
            (
                label,
                f"{seconds:.0f}",
                str(steps),
                f"{statistics.mean(quality[label]):.4f} ({', '.join(f'{value:.4f}' for value in quality[label])})",
            )
            for label, (seconds, steps, _) in found.items()
        ],
        {
            f"seconds_{label}": Ratio(seconds / ours, seconds / ours, seconds / ours)
            for label, (seconds, _, _) in found.items()
        },
        aims={"seconds_stock Ray Tune, reuse_actors": Aim("at least", 4 if args.divisor else 1.5)},
        details={"best": {label: best for label, (_, _, best) in found.items()}, "val_ce": quality},
    )


def _space(folder: Path, args: Any, teachers: list[str], arms: dict[str, float] | None = None) -> Path:
    """The space as the product reads it, with the product's own arms or these."""
    tree: dict[str, Any] = {
        "description": "the space that both search",
        "scale": "tiny",
        "data": {"source": str(folder / "corpus")},
        "student": {"train_windows": args.windows, "dev_windows": args.dev_windows},
        "recipe": {"epochs": args.epochs, "precision": "float32"},  # as stock has it
        "cache": {"precision": "float32"},
        "search": {"rungs": list(RUNGS), "seeds": 0, **({"arms": arms} if arms else {})},
        "distill": {"projection": {"layer_map": "last", "normalize": "layer_norm"}},
        "parameters": {
            "recipe.lr": {"log_uniform": list(RANGES["lr"])},
            "alpha": {"log_uniform": list(RANGES["alpha"])},
            "beta": {"log_uniform": list(RANGES["beta"])},
            "temperature": {"choice": list(TEMPERATURES)},
        },
        **({"teachers": teachers} if teachers else {}),
    }
    if args.divisor:
        sizes = poster_sizes(args.divisor)
        tree["data"] |= {"vocabulary": sizes.vocabulary, "window": sizes.window}
        student = {name: getattr(sizes.student, name) for name in ("width", "layers", "heads", "ffn")}
        tree["student"] |= {"preset": STUDENT, **student}
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _ours(folder: Path, space: Path, samples: int, name: str) -> tuple[float, int, dict[str, Any]]:
    """Seconds, steps and the best settings of the product's search, as a command with a cache of its own."""
    storage = folder / f"storage_{name}"
    command = [sys.executable, "-m", "palenka_tune.search", str(space), "--storage", str(storage)]
    started = time.perf_counter()
    subprocess.run([*command, "--name", name, "--samples", str(samples)], check=True)
    seconds = time.perf_counter() - started
    summary = json.loads((storage / name / "summary.json").read_text(encoding="utf-8"))
    best = min((arm["best"] for arm in summary["arms"].values() if arm["best"]), key=lambda each: each["val_ce"])
    return seconds, int(summary["budget"]["trial_steps_run"]), dict(best["params"])


def _task(folder: Path, bench: Bench, prepared: Any, teachers: list[str], total: int, recipe: Any) -> stock_tune.Task:
    """The same for stock Ray Tune: a fresh student and the windows as files."""
    student = build_for_store(bench.spec.student.architecture, bench.store, seed=0)
    export_student(student, prepared.tokenizer_dir, folder / "fresh_student", card="")
    for split in ("train", "dev"):
        torch.save(getattr(bench, split).clone(), folder / f"{split}.pt")
    return stock_tune.Task(
        tuple(teachers),
        str(folder / "fresh_student"),
        str(folder / "train.pt"),
        str(folder / "dev.pt"),
        steps=total,
        batch=recipe.batch_size,
        warmup=recipe.warmup_steps,
        rungs=tuple(round(total * share) for share in RUNGS),
        space={
            **{name: tune.loguniform(*limits) for name, limits in RANGES.items()},
            "temperature": tune.choice(list(TEMPERATURES)),
        },
    )


def _named(best: dict[str, Any]) -> dict[str, Any]:
    """Stock's settings by the product's names."""
    return {"recipe.lr" if name == "lr" else name: value for name, value in best.items()}


def _trained(bench: Bench, config: Any, best: dict[str, Any], seeds: int) -> list[float]:
    """Dev cross-entropy, one a fresh seed, of students with these settings."""
    values = {name: value for name, value in best.items() if name in ("alpha", "beta", "temperature")}
    distill = dataclasses.replace(config.experiment.distill, **values)
    recipe = dataclasses.replace(config.experiment.recipe, lr=best["recipe.lr"])
    found = []
    for seed in range(1, seeds + 1):
        loop = bench.loop(distill, recipe, seed=seed)
        loop.run_until(loop.total_steps)
        found.append(loop.validate(teachers=False)["val_ce"])
        print(f"{best}, seed {seed}: val/ce {found[-1]:.4f}", flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(run(main))
