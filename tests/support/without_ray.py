"""What a command gives to Ray, done in this process, one after the other: for tests of what stands around it.

That Ray does the same is held by the tests of each part: `tests/teachers/test_ray_trainer.py` (trainings),
`tests/cache/test_build.py` (shards) and `tests/students/test_jobs.py` (students).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from palenka_tune.cluster.session import Resources
from palenka_tune.distill.loop import World
from palenka_tune.students import jobs, scoring
from palenka_tune.teachers import ray_trainer
from palenka_tune.teachers.worker import run_rank
from tests.support.small_cache import small_shards

RESOURCES = Resources(((2, 0),), ray=False)


def _run_jobs(
    function: Callable[[Any, int], dict[str, Any]],
    waiting: Sequence[Any],
    share: Any,
    describe: Any,
    on_result: Callable[[Any, dict[str, Any]], None] = lambda job, result: None,
) -> list[dict[str, Any]]:
    results = []
    for job in waiting:
        results.append(job.result() or function(job, 1))
        on_result(job, results[-1])
    return results


def _run_all(trainings: Sequence[ray_trainer.Training], *more: Any) -> None:
    for training in trainings:
        training.run()


def _fit(training: ray_trainer.Training) -> None:
    run_rank(training.job, device=torch.device("cpu"), world=World(), report=lambda metrics: None)


@contextlib.contextmanager
def without_ray(*modules: str) -> Iterator[None]:
    """No Ray for the trainings, caches, students and scorings of `modules`, which open a session."""
    threads = torch.get_num_threads()
    with small_shards(), pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(f"{module}.ray_session", lambda address: contextlib.nullcontext(RESOURCES))
        patch.setattr(ray_trainer, "resources_now", lambda: RESOURCES)
        patch.setattr(ray_trainer, "_run_all", _run_all)
        patch.setattr(ray_trainer.Training, "fit", _fit)
        patch.setattr(jobs, "run_jobs", _run_jobs)
        patch.setattr(scoring, "run_jobs", _run_jobs)
        yield
    jobs._bench.cache_clear()
    torch.set_num_threads(threads)
