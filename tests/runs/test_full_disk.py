"""A full disk under the driver: it waits until there is room, says so once, and swallows no other fault."""

from __future__ import annotations

import errno
import os

import pytest

from palenka_tune.runs import full_disk
from palenka_tune.runs.full_disk import FullDisk


@pytest.fixture
def full(tmp_path, monkeypatch, logged):
    """One that naps on a clock of its own, and what it has said and napped."""
    naps = []
    monkeypatch.setattr(full_disk.time, "sleep", naps.append)
    monkeypatch.setattr(full_disk.time, "monotonic", lambda: sum(naps))
    return FullDisk(tmp_path), logged, naps


def failing(times: int, number: int = errno.ENOSPC):
    """An action that meets a fault so many times before it succeeds."""
    tries = []

    def action() -> None:
        tries.append(1)
        if len(tries) <= times:
            raise OSError(number, os.strerror(number))

    return action, tries


def test_it_is_waited_for_and_said_once(full, tmp_path):
    disk, said, naps = full
    action, tries = failing(5)
    disk.when_room(action)
    assert len(tries) == 6
    assert naps == [full_disk.POLL] * 5
    assert said == [f"the disk of {tmp_path} is full: the search waits; free space and it continues"]


def test_that_it_is_full_again_later_is_said_again(full):
    disk, said, naps = full
    disk.when_room(failing(1)[0])
    naps.append(1000.0)
    disk.when_room(failing(1)[0])
    assert len(said) == 2


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_another_fault_is_raised_at_once(full, number):
    disk, said, naps = full
    with pytest.raises(OSError, match=os.strerror(number)):
        disk.when_room(failing(1, number)[0])
    assert (said, naps) == ([], [])
