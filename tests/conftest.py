"""How the tests share the machine: two files at a time, of which one at most has a Ray cluster or hosts."""

import functools
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ALONE = re.compile(r"mark\.(ray|cluster|faults)\b")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for the whole suite; tests that were named run here, one after the other, where a debugger reaches them."""
    return 0 if config.args_source is pytest.Config.ArgsSource.ARGS else 2


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.get_closest_marker("long") and "PALENKA_LONG" not in os.environ:
        item.add_marker(pytest.mark.skip(reason="minutes; set PALENKA_LONG=1 to run it"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """A file's tests go to one worker, which makes its fixtures once; all files that want much to the same."""

    class OneAtATime(LoadFileScheduling):
        @functools.lru_cache  # noqa: B019 (there is one)
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return "alone" if ALONE.search((config.rootpath / path).read_text(encoding="utf-8")) else path

    return OneAtATime(config, log)


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
