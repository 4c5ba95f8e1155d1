"""Time and student steps until the best val/ce of the poster's grid is reached: the grid itself against a search.

    python -m benchmarks.search_vs_grid [--data storybook] [--windows 2304] [--epochs 2] [--json FILE]

The grid is the poster's 25 points with its loss (`search_spaces/poster_grid.yaml`, the hidden term with its gradient),
one run after another on all cores, both teachers forward on every step, every run to its end; only its choice is ours:
the lowest val/ce. The search is `python -m palenka_tune.search` over `search_spaces/dskd.yaml` as a user starts it,
from the start of the process, with Ray, cache building and early stopping. Data and teachers are the same and there
beforehand for both. Both train Student-tiny, by default on 360,000 words of babytalk; the teachers have together some
18 times its parameters, as in the poster. `--size small` trains the student and teachers of scale small, for a larger
machine.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.harness import Aim, Ratio, Report, parser
from palenka_tune.commands.options import run
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.babytalk.corpus import write_corpus
from palenka_tune.data.prepare import PreparedData, prepare
from palenka_tune.data.windows import window_tensor
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.objective import PlainObjective
from palenka_tune.errors import UserError
from palenka_tune.models.build import build_for_store, count_parameters
from palenka_tune.models.export import export_student
from palenka_tune.models.presets import ModelPreset
from palenka_tune.spaces.resolve import find_space, resolve
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.students.bench import Bench, BenchSpec

TEACHERS = {
    "tiny": (
        ModelPreset("GPT2-4M", "gpt2", width=256, layers=5, heads=8),
        ModelPreset("Llama-3M", "llama", width=192, layers=5, heads=6, ffn=512, tied=False),
    ),
    "small": (
        ModelPreset("GPT2-60M", "gpt2", width=768, layers=8, heads=12),
        ModelPreset("Llama-30M", "llama", width=512, layers=8, heads=8, ffn=1536, tied=False),
    ),
}


@dataclass(frozen=True)
class Reached:
    """When the best of a contender was there: seconds and student steps from its start, and its val/ce."""

    seconds: float
    steps: float
    val_ce: float


BABYTALK_WORDS = 360_000  # of train; the built-in corpus has fewer, for a search of minutes
POSTER_UNITS = {"distill.kl_reduction": "sequence"}


def main(argv: Sequence[str]) -> int:
    arguments = parser("search_vs_grid", __doc__.partition("\n\n")[0])
    arguments.add_argument("--size", choices=sorted(TEACHERS), default="tiny", help="scale of the student")
    arguments.add_argument(
        "--data", default=None, metavar="DIR", help="folder of text (default: 360,000 words of babytalk)"
    )
    arguments.add_argument("--windows", type=int, default=2304, help="train windows of a student (default: 2304)")
    arguments.add_argument("--epochs", type=float, default=2.0, help="epochs of a student (default: 2)")
    arguments.add_argument("--teacher-windows", type=int, default=8192, help="train windows of the teachers, one epoch")
    arguments.add_argument("--samples", type=int, default=16, help="trials that the search proposes (default: 16)")
    arguments.add_argument("--points", type=int, default=25, help="points of the grid, the first so many (default: 25)")
    args = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="search_vs_grid_") as name:
        folder = Path(name)
        if args.data is None:
            corpus, called = folder / "babytalk", "babytalk"
            write_corpus(corpus, words={"train": BABYTALK_WORDS})
        else:
            corpus, called = Path(args.data).expanduser().resolve(), f"--data {args.data}"
        common = {
            "data": {"source": str(corpus)},
            "scale": args.size,
            "student": {"train_windows": args.windows, "dev_windows": 512},
            "recipe": {"epochs": args.epochs},
        }
        config = resolve(str(space_file(folder, "poster_grid", common)), options=POSTER_UNITS)
        prepared = prepare(config.experiment.data, folder / "storage")
        there, asked = len(prepared.store.windows("train")), max(args.windows, args.teacher_windows)
        if there < asked:
            raise UserError(
                f"{called} has {there} windows of train, and --windows or --teacher-windows asks for {asked}; "
                "ask for fewer"
            )
        common["teachers"] = [
            {"preset": str(train_teacher(preset, prepared, folder, args.teacher_windows))}
            for preset in TEACHERS[args.size]
        ]
        runs = grid(
            resolve(str(space_file(folder, "poster_grid", common)), options=POSTER_UNITS), prepared, args.points
        )
        best = min(runs, key=lambda reached: reached.val_ce)
        found, whole, settings = search(folder, space_file(folder, "dskd", common), args.samples, best.val_ce)
    report = Report(
        "search_vs_grid",
        f"Until val/ce {best.val_ce:.4f}, the best of the poster's grid ({args.size}, {args.windows} windows)",
        vars(args),
        ("contender", "seconds", "student steps", "val/ce"),
        [
            ("grid, to its best run", f"{best.seconds:.0f}", f"{best.steps:.0f}", f"{best.val_ce:.4f}"),
            ("grid, all runs", f"{runs[-1].seconds:.0f}", f"{runs[-1].steps:.0f}", f"{best.val_ce:.4f}"),
            ("search, to as good", *_cells(found)),
            ("search, all trials", f"{whole.seconds:.0f}", f"{whole.steps:.0f}", f"{whole.val_ce:.4f}"),
        ],
        aims={"wall_time": Aim("at least", 8)},
        details={
            "grid": [dataclasses.asdict(reached) for reached in runs],
            "search_best": settings,
            "search": dataclasses.asdict(whole),
        },
    )
    if found is None:
        report.notes.append("the search did not reach the grid's best")
    else:
        report.ratios = {
            "wall_time": _single(runs[-1].seconds / found.seconds),
            "student_steps": _single(runs[-1].steps / found.steps),
            "wall_time_to_best_run": _single(best.seconds / found.seconds),
        }
        report.notes.append(
            "wall_time and student_steps count all of the grid, whose best is known at its end; wall_time_to_best_run "
            "counts it up to the run that turned out best"
        )
    return report.publish(args.json)


def _cells(reached: Reached | None) -> tuple[str, str, str]:
    if reached is None:
        return ("not reached", "", "")
    return (f"{reached.seconds:.0f}", f"{reached.steps:.0f}", f"{reached.val_ce:.4f}")


def _single(value: float) -> Ratio:
    """A ratio of one measurement."""
    return Ratio(value, value, value)


def space_file(folder: Path, name: str, changes: dict[str, Any]) -> Path:
    """A shipped search space with `changes` to its experiment, as a file of its own."""
    tree = yaml.safe_load(find_space(name).read_text(encoding="utf-8"))
    for key, value in changes.items():
        tree[key] = {**tree.get(key, {}), **value} if isinstance(value, dict) else value
    tree["student"]["train_fraction"] = 1.0  # the poster's 20 % of more text than there is here
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def train_teacher(preset: ModelPreset, prepared: PreparedData, folder: Path, windows: int, *, lr: float = 2e-3) -> Path:
    """Train a teacher for one epoch by the product's loop; its folder."""
    store = prepared.store
    model = build_for_store(preset, store, seed=0)
    train = window_tensor(store.windows("train"))[:windows]
    dev = window_tensor(store.windows("dev"))[:512]
    recipe = Recipe(lr=lr, batch_size=16, epochs=1, warmup_steps=40)
    loop = TrainingLoop(model, PlainObjective(store.pad_id), train, dev, recipe, pad_id=store.pad_id, seed=0)
    loop.run_until(loop.total_steps)
    ce = loop.validate()["val_ce"]
    print(f"teacher {preset.name}, {count_parameters(model) / 1e6:.2f} M parameters: val/ce {ce:.4f}", flush=True)
    return export_student(model, prepared.tokenizer_dir, folder / preset.name.replace("/", "-"), card="")


def grid(config: SearchConfig, prepared: PreparedData, points: int) -> list[Reached]:
    """Every point of the grid, one after another; what was there after each."""
    experiment = config.experiment
    teachers = tuple(teacher.preset for teacher in experiment.teachers)
    corners = list(config.space.corners())[:points]
    started, steps, runs = time.perf_counter(), 0, []
    bench = Bench(BenchSpec(str(prepared.store.folder), experiment.student, teachers))
    for number, values in enumerate(corners, start=1):
        loop = bench.loop(*config.settings_of(values), seed=experiment.seed)
        loop.run_until(loop.total_steps)
        steps += loop.step
        val_ce = loop.validate(teachers=False)["val_ce"]
        runs.append(Reached(time.perf_counter() - started, steps, val_ce))
        print(f"grid {number}/{len(corners)}  {values}  val/ce {val_ce:.4f}  {runs[-1].seconds:.0f} s", flush=True)
    return runs


def search(folder: Path, space: Path, samples: int, target: float) -> tuple[Reached | None, Reached, dict[str, Any]]:
    """Run the search as a command; when it was as good as `target`, all of it, and its best settings."""
    command = [sys.executable, "-m", "palenka_tune.search", str(space), "--storage", str(folder / "storage")]
    command += ["--name", "search", "--samples", str(samples), "--seeds", "0"]
    started = datetime.now()
    subprocess.run(command, check=True)
    journal = JournalFileBackend(str(folder / "storage" / "search" / "optuna.journal"))
    (study,) = optuna.get_all_study_summaries(JournalStorage(journal))
    trials = optuna.load_study(study_name=study.study_name, storage=JournalStorage(journal)).trials
    done = sorted(
        (trial for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE),
        key=lambda trial: trial.datetime_complete or started,
    )

    def steps_until(moment: datetime) -> float:
        """Steps of all trials by then; one that was running counts by the share of its time."""
        total = 0.0
        for trial in trials:
            begun, ended = trial.datetime_start or started, trial.datetime_complete or moment
            share = (min(moment, ended) - begun).total_seconds() / max(1e-9, (ended - begun).total_seconds())
            total += max(0.0, min(1.0, share)) * max(trial.intermediate_values, default=0)
        return total

    def reached(trial: optuna.trial.FrozenTrial) -> Reached:
        moment = trial.datetime_complete or started
        return Reached((moment - started).total_seconds(), steps_until(moment), float(trial.value or 0.0))

    best = min(done, key=lambda trial: trial.value or 0.0)
    last = max(done, key=lambda trial: trial.datetime_complete or started)
    whole = dataclasses.replace(reached(last), val_ce=float(best.value or 0.0))
    good = [trial for trial in done if trial.value is not None and trial.value <= target]
    return (reached(good[0]) if good else None), whole, dict(best.params)


if __name__ == "__main__":
    raise SystemExit(run(main))
