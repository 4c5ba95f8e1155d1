"""Jobs as Ray tasks, some at a time, each run once; one whose process died is tried again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from palenka_tune.errors import PalenkaError, first_line
from palenka_tune.storage import mirror

Job = TypeVar("Job")
PROGRESS = "progress.txt"  # in a job's folder: its last line of progress
RETRIES = 2  # of a process that died
SAY_SECONDS = 20.0


def in_turns(
    submit: Callable[[Job], Any],
    jobs: Sequence[Job],
    at_once: int,
    *,
    seconds: float,
    look: Callable[[Sequence[Job]], None],
) -> Generator[tuple[Job, Any], None, None]:
    """Run the Ray tasks that `submit(job)` starts, `at_once` at a time; yields (job, its reference) as each ends.

    `look(running jobs)` is called every few `seconds`. Closed early, the generator cancels the tasks in flight.
    """
    import ray

    waiting = list(jobs)
    running: dict[Any, Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running[submit(job)] = job
            ended, _ = ray.wait(list(running), timeout=seconds)
            look(list(running.values()))
            for reference in ended:
                yield running.pop(reference), reference
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


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

    A process that died is tried again; a job that cannot be run is `done` with `{"name", "failed"}`. The last line in
    `progress.txt` of each running job's `folder` is logged from time to time. Jobs in flight are cancelled with the
    caller.
    """
    import ray

    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(function)
    logged = time.monotonic()

    def look(running: Sequence[Any]) -> None:
        nonlocal logged
        if time.monotonic() - logged > SAY_SECONDS:
            logged = time.monotonic()
            for job in running:
                progress = mirror.read(Path(job.folder) / PROGRESS)
                if progress is not None:
                    log(f"{job.name}: {progress.decode()}")

    turns = in_turns(lambda job: task.remote(job, cpus), jobs, concurrent, seconds=1.0, look=look)
    with contextlib.closing(turns) as ended:
        for job, reference in ended:
            done(job, _result(reference, job))


def _result(reference: Any, job: Any) -> dict[str, Any]:
    """A task's result, or why there is none."""
    import ray

    try:
        result: dict[str, Any] = ray.get(reference)
        return result
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        known = isinstance(cause, PalenkaError)
        reason = first_line(cause) if known else f"{type(cause).__name__}: {first_line(cause)}"
    except ray.exceptions.RayError as error:
        reason = f"its process died {RETRIES + 1} times ({first_line(error)})"
    return {"name": job.name, "failed": reason}
