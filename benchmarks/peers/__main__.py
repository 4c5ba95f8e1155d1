"""The product beside TRL, NVIDIA ModelOpt, torchdistill and a `transformers.Trainer`: the same work, in one run.

    python -m benchmarks.peers [--divisor 2] [--steps 3] [--rounds 3] [--kinds logits deep] [--json FILE]

The same student, teachers, batches, optimiser and loss; the first losses are compared, so that all do the same work. A
peer is run as its documentation says, in float32 and in bfloat16. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import io
import json
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Aim, Ratio, Report, paired, parser, ratio
from benchmarks.loss_memory import memory_of_process
from benchmarks.peers import by_torchdistill, nvidia_modelopt, ours, trl_gkd, with_trainer
from benchmarks.peers.work import WARM_UP, Contender, Kind, Speed, Work
from benchmarks.place import Place, make_place, open_place
from benchmarks.sizes import poster_sizes
from palenka_tune.cache.build import obtain
from palenka_tune.cache.plan import need_of
from palenka_tune.cache.source import CachedSource
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.data.windows import Windows, window_tensor
from palenka_tune.distill.signals import SignalSource
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.spaces.experiment import shape_of
from palenka_tune.teachers.online import online_source

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
AGREE = 0.03  # by which first losses may differ: masks, and what bfloat16 rounds
OURS = "palenka_tune"
BEST = "exact_vs_best_peer"
AIM, AIMED_AT = 3, 2  # times as fast as the best peer, and the largest divisor at which that is aimed at


@dataclass(frozen=True)
class Entry:
    """A row: what runs it, for which kinds of work, and what of it a user writes."""

    name: str
    run: Callable[[Kind, Path], Contender]
    kinds: tuple[Kind, ...]
    written: Any = None
    needs: str = ""


def peers() -> list[Entry]:
    """All that are compared; the product's first."""

    def same(contender: Contender) -> Callable[[Kind, Path], Contender]:
        return lambda kind, folder: contender

    both: tuple[Kind, ...] = ("logits", "deep")
    return [
        Entry(f"{OURS}, plain CE", same(ours.ours(None)), both),
        Entry(f"{OURS}, exact cache", partial(_kept, "exact"), both),
        Entry(f"{OURS}, sampled cache", partial(_kept, "sampled"), both),
        Entry(f"{OURS}, teachers online", _online, both),
        Entry("TRL, GKDTrainer", same(trl_gkd.trl_gkd), ("logits",), trl_gkd, "trl"),
        Entry(
            "NVIDIA ModelOpt, KDTrainer",
            same(nvidia_modelopt.nvidia_modelopt),
            ("logits",),
            nvidia_modelopt,
            "modelopt",
        ),
        Entry("torchdistill", same(by_torchdistill.by_torchdistill), both, by_torchdistill, "torchdistill"),
        Entry("transformers.Trainer", same(with_trainer.with_trainer), both, with_trainer, "accelerate"),
    ]


def main(argv: Sequence[str]) -> int:
    arguments = parser("peers", __doc__.partition("\n\n")[0])
    arguments.add_argument("--divisor", type=int, default=2, help="of the poster's widths and vocabulary (default: 2)")
    arguments.add_argument("--batch", type=int, default=16, help="windows of a step (default: 16)")
    arguments.add_argument("--steps", type=int, default=3, help=f"timed steps of a round, after {WARM_UP} (default: 3)")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    arguments.add_argument("--threads", type=int, help="default: as torch has them")
    arguments.add_argument("--kinds", nargs="+", choices=("logits", "deep"), default=["logits", "deep"], help="of work")
    arguments.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: both"
    )
    arguments.add_argument("--one", nargs=4, metavar=("NAME", "KIND", "PRECISION", "PLACE"), help=argparse.SUPPRESS)
    args = arguments.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    protect(None)
    missing = [entry.needs for entry in peers() if entry.needs and importlib.util.find_spec(entry.needs) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} are not installed; pip install 'palenka-tune[bench]'")
    if args.one:
        return _one(args)
    with tempfile.TemporaryDirectory(prefix="peers_") as name:
        folder = Path(name) / f"sizes-{args.divisor}"
        folder.mkdir()
        make_place(folder, poster_sizes(args.divisor))
        return report(args, folder).publish(args.json)


def report(args: argparse.Namespace, folder: Path) -> Report:
    """Run everything in turn and make the table."""
    contenders: dict[str, Callable[[], float]] = {}
    first: dict[str, float] = {}
    for kind in args.kinds:
        for precision in args.precisions:
            for entry in peers():
                if kind in entry.kinds:
                    key = f"{kind}, {precision}: {entry.name}"
                    contenders[key] = partial(_speed, key, entry, kind, precision, args, folder, first)
    figures = paired(contenders, args.rounds)
    _check_first(first)
    memory = {key: _peak(key, args, folder) for key in figures}
    rows, ratios = [], {}
    for key, values in figures.items():
        work, _, name = key.partition(": ")
        best = figures[f"{work}: {OURS}, exact cache"]
        ratios[f"exact_vs_{name}, {work}"] = found = ratio(best, values)
        entry = next(each for each in peers() if each.name == name)
        rows.append(
            (
                f"{work}: {name}",
                f"{statistics.median(values):,.0f}",
                "" if name.startswith(OURS) else str(found),
                f"{memory[key] / 2**20:,.0f}",
                str(_lines(entry.written)) if entry.written else "",
            )
        )
    for work, best in _best_peers(figures).items():
        ratios[f"{BEST}, {work}"] = ratio(figures[f"{work}: {OURS}, exact cache"], figures[best])
    return Report(
        "peers",
        f"Distilling side by side (poster's sizes / {args.divisor}, {torch.get_num_threads()} threads)",
        {**{k: v for k, v in vars(args).items() if k != "one"}, "threads": torch.get_num_threads()},
        ("work", "tokens/s", "exact cache is faster by", "peak MiB", "lines that a user writes"),
        rows,
        ratios,
        aims={name: Aim("at least", AIM) for name in ratios if name.startswith(BEST) and args.divisor <= AIMED_AT},
        details={"tokens_per_second": figures, "first_losses": first, "peak_bytes": memory},
        notes=_verdicts(figures),
    )


def _best_peers(figures: dict[str, list[float]]) -> dict[str, str]:
    """For each kind of work the fastest contender that is not ours."""
    found: dict[str, str] = {}
    for work in dict.fromkeys(key.partition(": ")[0] for key in figures):
        rest = [key for key in figures if key.startswith(f"{work}: ") and OURS not in key]
        found[work] = max(rest, key=lambda key: statistics.median(figures[key]))
    return found


def _verdicts(figures: dict[str, list[float]]) -> list[str]:
    """For each kind of work how the product stands to the best peer, whoever wins."""
    out = []
    for work, best in _best_peers(figures).items():
        gains: dict[str, Ratio] = {
            form: ratio(figures[f"{work}: {OURS}, {form}"], figures[best])
            for form in ("exact cache", "sampled cache", "teachers online")
        }
        said = ", ".join(f"{form} {gain}" for form, gain in gains.items())
        out.append(f"{work}: the best peer is {best.partition(': ')[2]}; ours is faster by {said}")
    return out


def _speed(
    key: str, entry: Entry, kind: Kind, precision: str, args: argparse.Namespace, folder: Path, first: dict[str, float]
) -> float:
    work = _work(kind, precision, args, folder)
    speed: Speed = entry.run(kind, folder)(work)
    first.setdefault(key, speed.first_loss)
    return speed.tokens_per_second(work)


def _work(kind: Kind, precision: str, args: argparse.Namespace, folder: Path) -> Work:
    place, _, train = _opened(folder)
    return Work(kind, place, train, args.batch, args.steps, PRECISIONS[precision])


WINDOWS = Windows({"train": np.arange(96), "dev": np.arange(4)})


@cache
def _opened(folder: Path) -> tuple[Place, Path, torch.Tensor]:
    place = open_place(folder, poster_sizes(int(folder.name.rpartition("-")[2])))
    return place, folder / "storage", window_tensor(WINDOWS.array(place.prepared.store, "train"))


@cache
def _cache(form: str, kind: Kind, folder: Path) -> TeacherCache:
    """What the product keeps of the teachers for this work, built at its first use."""
    place, storage, _ = _opened(folder)
    teachers = place.teachers[:1] if kind == "logits" else place.teachers
    need = need_of([ours.loss_of(kind)], shape_of(place.sizes.student), tuple(each.shape for each in teachers))
    with ray_session() as resources:
        return obtain(need, ours.FORMS[form], teachers, place.prepared.store, WINDOWS, storage, lambda: resources)


def _kept(form: str, kind: Kind, folder: Path) -> Contender:
    return ours.ours(lambda: CachedSource(_cache(form, kind, folder)))


def _online(kind: Kind, folder: Path) -> Contender:
    def source() -> SignalSource:
        place, _, train = _opened(folder)
        teachers = place.teachers[:1] if kind == "logits" else place.teachers
        return online_source(teachers, place.prepared.store, statistics_sample(train))

    return ours.ours(source)


def _check_first(first: dict[str, float]) -> None:
    """Raise `PalenkaError` unless all contenders of a kind of work have the same first loss."""
    for work in dict.fromkeys(key.partition(": ")[0] for key in first):
        losses = {
            key.partition(": ")[2]: value
            for key, value in first.items()
            if key.startswith(f"{work}: ") and "plain CE" not in key
        }
        middle_loss = statistics.median(list(losses.values()))
        far = {name: value for name, value in losses.items() if abs(value / middle_loss - 1) > AGREE}
        if far:
            raise PalenkaError(f"{work}: {far} is another loss than that of most, {middle_loss:.4f}; not the same work")


def _peak(key: str, args: argparse.Namespace, folder: Path) -> int:
    """Most memory of a process that does nothing else, in bytes."""
    work, _, name = key.partition(": ")
    kind, precision = work.split(", ")
    command = [sys.executable, "-m", "benchmarks.peers", "--one", name, kind, precision, str(folder), "--steps", "1"]
    command += ["--divisor", str(args.divisor), "--batch", str(args.batch)]
    command += ["--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PalenkaError(f"{key}: {done.stderr.strip().splitlines()[-1]}")
    return int(json.loads(done.stdout.strip().splitlines()[-1])["peak"])


def _one(args: argparse.Namespace) -> int:
    name, kind, precision, place = args.one
    entry = next(each for each in peers() if each.name == name)
    _speed(name, entry, kind, precision, args, Path(place), {})
    print(json.dumps({"peak": memory_of_process("VmHWM")}))
    return 0


def _lines(module: Any) -> int:
    """Lines of code of a module, without comments, docstrings and blanks."""
    kept: set[int] = set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    previous = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(module)).readline):
        docstring = token.type == tokenize.STRING and previous in (tokenize.NEWLINE, tokenize.INDENT, tokenize.NL)
        if token.type not in skipped and not docstring:
            kept |= set(range(token.start[0], token.end[0] + 1))
        previous = token.type
    return len(kept)


if __name__ == "__main__":
    raise SystemExit(run(main))
