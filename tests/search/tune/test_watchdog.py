"""The watch over running trials: who is ended, who is left alone, what is said."""

from __future__ import annotations

import os

import pytest

from palenka_tune import clocks
from palenka_tune.runs.heartbeat import SearchPulse, TrialPulse
from palenka_tune.search.tune import watchdog


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watched(tmp_path, logged, clock):
    ended: list = []
    it = watchdog.Watch(tmp_path, lambda: ["a", "b"], stall_seconds=60.0, end=ended.append)
    for name in ("a", "b"):
        TrialPulse(tmp_path, name, "node").beat(1)
    return it, ended, logged, tmp_path


def beat(folder, name: str, step: int, waits_for: int = 0) -> None:
    """A beat at a time of its own, however coarse the file system's clock is."""
    pulse = TrialPulse(folder, name, "node")
    last = pulse.last()
    pulse.beat(step, waits_for)
    os.utime(folder / f"{name}.pulse", ns=(last + step + 1, last + step + 1))


def test_a_trial_that_does_not_move_is_ended_and_one_that_does_is_not(watched, clock):
    it, ended, said, folder = watched
    for step in range(2, 15):
        it.look()
        clock[0] += 5.0
        beat(folder, "b", step)
    assert [state["step"] for state in ended] == [1]
    assert (ended[0]["pid"], ended[0]["node"]) == (os.getpid(), "node")
    reason = "it did not move for 1 minutes (search.stall_minutes) and was ended"
    assert said == [f"a: {reason}"]
    assert (folder / "a.error").read_text() == reason


def test_a_trial_is_ended_once_for_each_stall(watched, clock):
    it, ended, _, _ = watched
    for _ in range(15):
        it.look()
        clock[0] += 5.0
    assert len(ended) == 2  # a and b


def test_a_pause_of_the_machine_is_no_stall(watched, clock):
    it, ended, _, folder = watched
    for pause in (3600.0, 1e6):
        for _ in range(10):  # 50 of the 60 seconds that it has
            it.look()
            clock[0] += 5.0
        clock[0] += pause
        it.look()
        assert ended == []
        for name in ("a", "b"):
            beat(folder, name, 2)
        it.look()
    for _ in range(13):  # and who stands still after it is ended as ever
        clock[0] += 5.0
        it.look()
    assert len(ended) == 2


def test_looks_that_are_always_late_judge_at_last(watched, clock):
    it, ended, _, _ = watched
    for _ in range(100):
        clock[0] += 30.0
        it.look()
    assert len(ended) >= 2


def test_waiting_for_space_is_said_once_and_its_end_too(watched):
    it, _, said, folder = watched
    it.look()
    for step, waits_for in ((3, 2_000_000), (4, 2_000_000), (5, 0)):
        beat(folder, "a", step, waits_for)
        it.look()
    assert len(said) == 2
    assert "is full: a waits until 2.0 MB are free" in said[0]
    assert said[1] == "there is space again: a goes on"


def test_a_trial_without_a_pulse_yet_is_left_alone(tmp_path):
    ended = []
    it = watchdog.Watch(tmp_path, lambda: ["a"], stall_seconds=0.0, end=ended.append)
    it.look()
    it.look()
    assert ended == []


def test_the_search_tells_its_trials_to_stop(tmp_path):
    pulse = SearchPulse(tmp_path)
    assert not pulse.stopping
    pulse.run()
    assert not pulse.stopping
    pulse.stop()
    assert SearchPulse(tmp_path).stopping
