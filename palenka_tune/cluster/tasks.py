"""Jobs as Ray tasks, some at a time: one that has a result is not run again, one whose process died is retried."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from palenka_tune.cluster.machine import memory_kills
from palenka_tune.config.console import keep_printing
from palenka_tune.config.files import read_json, write_json
from palenka_tune.errors import PalenkaError, first_line
from palenka_tune.storage import mirror

logger = logging.getLogger(__name__)
PROGRESS, RESULT = "progress.txt", "result.json"  # in a job's folder: what it last said of itself, what it made
SCORES = "scores.json"  # there, what a scoring made
RETRIES = 2  # of a process that died
SAY_SECONDS = 20.0


class Job:
    """Plain data that any process can work on, with its result in `folder`."""

    RESULT: ClassVar[str] = RESULT
    name: str
    folder: str

    @property
    def identity(self) -> str:
        """Names everything that shapes the result."""
        raise NotImplementedError

    def result(self) -> dict[str, Any] | None:
        """What an earlier run of this very job left."""
        path = Path(self.folder) / self.RESULT
        if not mirror.fetch(path):
            return None
        result: dict[str, Any] = read_json(path)
        return result if result.get("identity") == self.identity else None

    def keep(self, result: Mapping[str, Any]) -> None:
        """Write the result, here and in the storage."""
        path = Path(self.folder) / self.RESULT
        write_json(path, result)
        mirror.publish(path)


AnyJob = TypeVar("AnyJob", bound=Job)
Submitted = TypeVar("Submitted")


@dataclass(frozen=True)
class Share:
    """How jobs share a cluster: `concurrent` at a time, with `cpus` cores and `gpus` of a GPU each."""

    concurrent: int
    cpus: int
    gpus: float = 0.0


def run_jobs(
    function: Callable[[AnyJob, int], dict[str, Any]],
    jobs: Sequence[AnyJob],
    share: Share,
    describe: Callable[[dict[str, Any]], str],
    on_result: Callable[[AnyJob, dict[str, Any]], None] = lambda job, result: None,
) -> list[dict[str, Any]]:
    """Run `function(job, cpus)` in the open Ray session for every job that has no result; all results, in order.

    A job that could not be run has `{"name", "failed"}`, and the others continue. Each end is logged as `describe` puts
    it, and from time to time what running jobs last wrote to `progress.txt` in their `folder`. Jobs in flight are
    cancelled if the caller is.
    """
    results = {job.name: result for job in jobs if (result := job.result()) is not None}
    if results:
        logger.info(f"{len(results)} of {len(jobs)} have their result already")
    for job in jobs:
        if job.name in results:
            on_result(job, results[job.name])

    import ray

    kills = memory_kills()
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES)(_in_worker)
    spoke = time.monotonic()

    def look(running: Sequence[AnyJob]) -> None:
        nonlocal spoke
        if time.monotonic() - spoke > SAY_SECONDS:
            spoke = time.monotonic()
            for job in running:
                progress = mirror.read(Path(job.folder) / PROGRESS)
                if progress is not None:
                    logger.info(f"{job.name}: {progress.decode()}")

    missing = [job for job in jobs if job.name not in results]
    turns = in_turns(
        lambda job: task.remote(function, job, share.cpus), missing, share.concurrent, seconds=1.0, look=look
    )
    with contextlib.closing(turns) as ended:
        for job, reference in ended:
            result = results[job.name] = _result(reference, job, kills)
            logger.info(f"[{len(results)}/{len(jobs)}] {job.name}: {result.get('failed') or describe(result)}")
            on_result(job, result)
    return [results[job.name] for job in jobs]


def in_turns(
    submit: Callable[[Submitted], Any],
    jobs: Sequence[Submitted],
    at_once: int,
    *,
    seconds: float,
    look: Callable[[Sequence[Submitted]], None],
) -> Generator[tuple[Submitted, Any], None, None]:
    """Run the Ray tasks that `submit(job)` starts, `at_once` at a time; yields (job, its reference) as each ends.

    `look(running jobs)` is called every few `seconds`. Closed early, the generator cancels the tasks in flight.
    """
    import ray

    waiting = list(jobs)
    running: dict[Any, Submitted] = {}
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


def _in_worker(function: Callable[[AnyJob, int], dict[str, Any]], job: AnyJob, cpus: int) -> dict[str, Any]:
    keep_printing()
    return function(job, cpus)


def _result(reference: Any, job: Job, kills: int) -> dict[str, Any]:
    """A task's result, or why there is none; `kills` for lack of memory were counted before it."""
    import ray

    try:
        result: dict[str, Any] = ray.get(reference)
        return result
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        known = isinstance(cause, PalenkaError)
        reason = first_line(cause) if known else f"{type(cause).__name__}: {first_line(cause)}"
    except ray.exceptions.RayError as error:
        why = "killed for lack of memory" if memory_kills() > kills else first_line(error)
        reason = f"its process died {RETRIES + 1} times ({why})"
    return {"name": job.name, "failed": reason}
