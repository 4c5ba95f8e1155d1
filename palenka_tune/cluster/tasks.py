"""Jobs as Ray tasks, some at a time, each run once; one whose process died is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.errors import PalenkaError
from palenka_tune.storage import mirror

PROGRESS = "progress.txt"  # in a job's folder: what it last said of itself
RETRIES = 2  # of a process that died
SAY_SECONDS = 20.0


def run_tasks(
    function: Callable[[Any, int], dict[str, Any]],
    jobs: Sequence[Any],
    done: Callable[[Any, dict[str, Any]], None],
    *,
    concurrent: int,
    cpus: int,
    gpus: float,
    log: Callable[[str], None],
) -> None:
    """Run `function(job, cpus)` for every job as Ray tasks and call `done(job, result)` as each ends.

    A process that died is tried again; what cannot be run is `done` with `{"name", "failed"}`. What the jobs last wrote
    to `progress.txt` in their `folder` is logged from time to time. Jobs in flight are cancelled if the caller is.
    """
    import ray

    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(function)
    waiting = list(jobs)
    running: dict[Any, Any] = {}
    said = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < concurrent:
                job = waiting.pop(0)
                running[task.remote(job, cpus)] = job
            ended, _ = ray.wait(list(running), timeout=1.0)
            for reference in ended:
                job = running.pop(reference)
                done(job, _outcome(reference, job))
            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                for job in running.values():
                    said_last = mirror.read(Path(job.folder) / PROGRESS)
                    if said_last is not None:
                        log(f"{job.name}: {said_last.decode()}")
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _outcome(reference: Any, job: Any) -> dict[str, Any]:
    """A task's result, or why there is none."""
    import ray

    try:
        result: dict[str, Any] = ray.get(reference)
        return result
    except ray.exceptions.RayTaskError as error:
        reason = (
            error.cause if isinstance(error.cause, PalenkaError) else f"{type(error.cause).__name__}: {error.cause}"
        )
    except ray.exceptions.RayError as error:
        reason = f"its process died {RETRIES + 1} times ({str(error).strip().splitlines()[0]})"
    return {"name": job.name, "failed": str(reason).strip().splitlines()[0]}
