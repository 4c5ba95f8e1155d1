"""What a GPU gives at the poster's sizes, beside what is promised: one command, no network, twelve minutes.

    python -m benchmarks.gpu_day [--seconds 690] [--data DIR] [--json FILE]

Stages, each in a process of its own with a budget of its own, so that one which fails or hangs takes nothing from the
others: speed of plain, exact and sampled training; correctness; teachers online; 1, 2 and 4 processes; a cache that is
brought beside the steps; what each remedy gives alone; then a real search on `--data` for the time that is left. The
file is written after every stage; `--table FILE` prints it as the table of docs/performance.md. Ends with 1 if a
promise is broken or a stage failed. Only the search needs Ray, Optuna and MLflow. `--device cpu --divisor 16 --batch 4
--windows 32 --steps 4` tries the command without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_day import feeding, right, search, sharing, speed
from benchmarks.gpu_day.promises import Answer, answers, markdown
from benchmarks.gpu_day.work import Plan, Work, make
from benchmarks.harness import Report, machine, parser
from benchmarks.sizes import DIVISORS
from palenka_tune.commands.options import run
from palenka_tune.config.files import write_json
from palenka_tune.errors import UserError

STAGES: dict[str, tuple[float, Callable[[Work], None]]] = {  # seconds, function
    "plain": (150, lambda work: speed.measure(work, "plain")),
    "exact": (100, lambda work: speed.measure(work, "exact")),
    "sampled": (100, lambda work: speed.measure(work, "sampled")),
    "right": (160, right.measure),
    "online": (130, speed.online),
    "feeding": (60, feeding.measure),
    "parts": (60, speed.parts),
    "processes": (100, sharing.measure),
}
MAKE, SEARCH = "make", "search"
SAID = 60  # lines of a stage that failed
STOPPED = (0, 130)  # exit codes of a search that ended, or that was stopped in time


def main(argv: Sequence[str]) -> int:
    args = _options(argv)
    if args.table:
        held = json.loads(Path(args.table).read_text(encoding="utf-8"))
        print(markdown([Answer(**each) for each in held["promises"]]))
        return 0
    if args.stage:
        return _stage(args.stage, Path(args.folder))
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "this benchmark needs a CUDA device and none was found; run it on a machine with a GPU, or try the command "
            "with --device cpu --divisor 16 --batch 4 --windows 32 --steps 4"
        )
    with tempfile.TemporaryDirectory(prefix="gpu_day_") as name:
        plan = Plan(Path(name), args.device, args.divisor, args.batch, args.windows, args.steps, args.rounds)
        return Day(plan, args).run()


class Day:
    """The stages in their order, and what they found."""

    def __init__(self, plan: Plan, args: argparse.Namespace) -> None:
        self.plan, self.args = plan, args
        self.until = time.monotonic() + args.seconds
        self.stages: dict[str, dict[str, Any]] = {}

    def run(self) -> int:
        self.plan.save()
        self._take(MAKE, self.left)  # without which there is nothing to measure
        if "error" not in self.stages[MAKE]:
            for name, (budget, _) in STAGES.items():
                if name in self.args.only:
                    self._take(name, budget)
            if SEARCH in self.args.only:
                self._take(SEARCH, self.left)
        found = self.answers
        self._report(found).publish(None)
        failed = [name for name, stage in self.stages.items() if "error" in stage]
        for name in failed:
            print(f"{name}: {self.stages[name]['error']}")
        return int(bool(failed) or any(each.kept is False for each in found))

    @property
    def left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    @property
    def answers(self) -> list[Answer]:
        figures = {name: stage.get("figures", {}) for name, stage in self.stages.items() if "left_out" not in stage}
        return answers(figures, judge=self.plan.on_gpu)

    def _take(self, name: str, budget: float) -> None:
        """Run a stage for at most `budget` seconds, and keep what it found."""
        budget, started = min(budget, self.left), time.monotonic()
        if budget < 5:
            found: dict[str, Any] = {"left_out": f"no time was left of {self.args.seconds:.0f} s"}
        elif name == SEARCH:
            figures = search.measure(self.plan.folder, self.args.data, budget)
            found = figures if "left_out" in figures else {"figures": figures}
            if figures.get("exit_code", 0) not in STOPPED:
                found["error"] = f"the search ended with {figures['exit_code']}"
        else:
            found = self._in_process(name, budget)
        self.stages[name] = found | {"seconds": round(time.monotonic() - started, 1)}
        said = found.get("error") or found.get("left_out") or json.dumps(found["figures"] or "done")
        print(f"{name} ({self.stages[name]['seconds']:.0f} s): {said}", flush=True)
        self._write()

    def _in_process(self, name: str, budget: float) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.gpu_day", "--stage", name, "--folder", str(self.plan.folder)]
        # compiled functions are found by the stages after the first, as by the trials of a search
        compiled = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(self.plan.folder / "inductor")}
        path, log, reason = self.plan.folder / f"{name}.json", self.plan.folder / f"{name}.log", ""
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(command, env=compiled, start_new_session=True, stderr=errors)
            try:
                if process.wait(budget):
                    reason = f"ended with {process.returncode}"
            except subprocess.TimeoutExpired:
                reason = f"took longer than {budget:.0f} s"
            finally:  # what it started ends with it, whatever ends this command
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        found: dict[str, Any] = {"figures": json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}}
        if reason:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-SAID:]
            found["error"] = "\n".join([reason, *said])
        return found

    def _report(self, found: list[Answer]) -> Report:
        words = {True: "kept", False: "MISSED", None: ""}
        return Report(
            "gpu_day",
            "What is promised of a GPU, and what was found",
            {},
            ("figure", "promised", "found", ""),
            [(each.what, each.bound, each.found, words[each.kept]) for each in found],
        )

    def _write(self) -> None:
        held = {
            "benchmark": "gpu_day",
            "machine": machine(),
            "settings": {**asdict(self.plan), "folder": None},
            "stages": self.stages,
            "promises": [asdict(each) for each in self.answers],
        }
        write_json(Path(self.args.json), held)


def _stage(name: str, folder: Path) -> int:
    """What the process of a stage does."""
    try:
        plan = Plan.open(folder)
        if name == MAKE:
            make(plan)
        else:
            STAGES[name][1](Work(plan, name))
    except Exception:  # with what led to it: nobody may be there to ask again
        traceback.print_exc()
        return 1
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    made = parser("gpu_day", str(__doc__).partition("\n")[0])
    made.set_defaults(json="gpu_day.json")
    made.add_argument("--seconds", type=float, default=690, help="for everything (default: 690)")
    made.add_argument("--data", default="babytalk", metavar="DIR", help="corpus of the search (default: babytalk)")
    made.add_argument("--divisor", type=int, default=1, choices=DIVISORS, help="of the poster's widths (default: 1)")
    made.add_argument("--batch", type=int, default=32, help="windows of a step (default: 32)")
    made.add_argument("--windows", type=int, default=256, help="windows in the cache (default: 256)")
    made.add_argument("--steps", type=int, default=40, help="timed steps of a round (default: 40)")
    made.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    made.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="default: cuda")
    every = [*STAGES, SEARCH]
    made.add_argument("--only", nargs="+", choices=every, default=every, metavar="STAGE", help=f"of {', '.join(every)}")
    made.add_argument("--table", metavar="FILE", help="print the table of an earlier run")
    made.add_argument("--stage", help=argparse.SUPPRESS)
    made.add_argument("--folder", help=argparse.SUPPRESS)
    return made.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(run(main))
