"""How the tests share the machine: two files at a time, of which one may have a Ray cluster or hosts of its own.
And the finished search that several files read."""

from __future__ import annotations

import functools
import logging
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.finished_search import FinishedSearch

# MLflow's server starts eight processes for jobs, each of which imports all of MLflow; no test has one
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")

WORKERS, WITH_RAY = 2, 1
RAY = re.compile(r"mark\.(ray|cluster|faults)\b")
READERS = re.compile(r"\b(finished|shown)_search\b")  # made once by the worker that all its readers go to


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For the whole suite; tests that were named run here, one after the other, where a debugger reaches them."""
    return 0 if config.args_source is pytest.Config.ArgsSource.ARGS else WORKERS


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker("long") and "PALENKA_LONG" not in os.environ:
        item.add_marker(pytest.mark.skip(reason="minutes; set PALENKA_LONG=1 to run it"))


@pytest.fixture(autouse=True)
def _nothing_opens_behind_the_next_test() -> Iterator[None]:
    """A search that is refused leaves the thread that opens MLflow's database, which makes loggers as it imports;
    pytest goes through all loggers after a test, and a new one at that moment is an error."""
    yield
    for thread in threading.enumerate():
        if thread.name == "mlflow-opening":
            thread.join()


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> FinishedSearch:
    """Run by the command, with three fixed settings and nine trials, and registered; its readers leave it as it is."""
    return FinishedSearch.make(tmp_path_factory.mktemp("finished"))


class Scheduling(LoadFileScheduling):
    """A file's tests go to one worker, which makes its fixtures once. Files with Ray come first, `WITH_RAY` at a time:
    a third on two cores would only make all of them slow."""

    @functools.lru_cache  # noqa: B019 (there is one)
    def _holds(self, path: str, what: re.Pattern[str]) -> bool:
        return what.search((self.config.rootpath / path).read_text(encoding="utf-8")) is not None

    @functools.lru_cache  # noqa: B019
    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return "readers of the finished search" if self._holds(path, READERS) else path

    def _has_ray(self, scope: str) -> bool:
        return not scope.endswith(".py") or self._holds(scope, RAY)

    def _assign_work_unit(self, node: Any) -> None:
        with_ray = sum(
            any(self._has_ray(scope) and not all(tests.values()) for scope, tests in assigned.items())
            for other, assigned in self.assigned_work.items()
            if other is not node
        )
        wanted = [scope for scope in self.workqueue if self._has_ray(scope) == (with_ray < WITH_RAY)]
        first = min(wanted or self.workqueue, key=lambda scope: scope.endswith(".py"))  # the readers take longest
        self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return Scheduling(config, log)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What our modules log while a test runs, a line each."""
    ours, handler = logging.getLogger("palenka_tune"), _Lines()
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    yield handler.lines
    ours.removeHandler(handler)
    ours.setLevel(level)
