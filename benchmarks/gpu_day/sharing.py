"""How many processes share a GPU best: 1, 2 and 4 of them train at once, each a student distilled from its cache.

`python -m benchmarks.gpu_day.sharing FOLDER` is one of them: it says that it is ready, waits for a line, and trains.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu_day.work import Plan, Work

COUNTS = (1, 2, 4)


def measure(work: Work) -> None:
    """By number of processes: tokens/s of all together, and seconds to the first step of a process."""
    for count in COUNTS:
        work.note(**{str(count): _together(work.plan, count)})


def _together(plan: Plan, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.gpu_day.sharing", str(plan.folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        first = [float(_line(process)) for process in processes]
        started = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        tokens = sum(int(_line(process)) for process in processes)
        seconds = time.perf_counter() - started
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return {"tokens_per_second": tokens / seconds, "first_step_s": max(first)}


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process that was to share the device ended with {process.wait()}")
    return line


def main(folder: Path) -> None:
    plan = Plan.open(folder)
    if not plan.on_gpu:
        torch.set_num_threads(1)
    work = Work(plan)
    loop = work.loop(work.resident("exact"), capture=plan.capture)
    print(work.first_step(loop)[0], flush=True)
    sys.stdin.readline()
    before = loop.tokens
    loop.run_until(loop.step + plan.steps * plan.rounds)
    print(loop.tokens - before, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
