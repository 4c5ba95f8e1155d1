"""Checkpoints: whole or known to be damaged, written when there is room, deleted when nobody needs them."""

from __future__ import annotations

import random

import pytest
import torch

from palenka_tune.distill.loop import DamagedError, load_checkpoint
from palenka_tune.runs import checkpoints

STATE = {"weights": torch.arange(1000.0), "step": 7, "history": [{"a": 1.0}]}


@pytest.fixture
def no_wait(monkeypatch):
    monkeypatch.setattr(checkpoints, "POLL", 0.0)


def refuse(needed: int) -> None:
    raise AssertionError("there is room")


def test_what_was_written_comes_back(tmp_path):
    checkpoints.write(tmp_path / "a.pt", STATE, refuse)
    state = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(state["weights"], STATE["weights"])
    assert state["history"] == [{"a": 1.0}]


def test_a_changed_byte_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "a.pt"
    checkpoints.write(path, STATE, refuse)
    data = path.read_bytes()
    generator = random.Random(0)
    found = 0
    for at in generator.sample(range(len(data)), 400):
        path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        try:
            state = load_checkpoint(path)
        except DamagedError:
            found += 1
        else:
            assert torch.equal(state["weights"], STATE["weights"])
            assert (state["step"], state["history"]) == (7, [{"a": 1.0}])
    assert found > 300


def test_a_checkpoint_that_was_cut_is_damaged(tmp_path):
    path = tmp_path / "a.pt"
    checkpoints.write(path, STATE, refuse)
    data = path.read_bytes()
    for size in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedError, match="is damaged"):
            load_checkpoint(path)


def test_without_room_it_waits_and_leaves_the_old_one(tmp_path, monkeypatch, no_wait):
    path = tmp_path / "a.pt"
    checkpoints.write(path, {"step": 1}, refuse)
    free, asked = [10, 10, 1 << 40], []

    class Usage:
        def __init__(self, folder):
            self.free = free[min(len(asked), 2)]

    def waiting(needed):
        asked.append(needed)
        assert load_checkpoint(path) == {"step": 1}

    monkeypatch.setattr(checkpoints.shutil, "disk_usage", Usage)
    checkpoints.write(path, {"step": 2, "weights": [torch.zeros(1250)]}, waiting)
    assert asked == [5000 + checkpoints.SPARE] * 2
    assert load_checkpoint(path)["step"] == 2


def test_a_write_that_finds_no_room_after_all_waits(tmp_path, monkeypatch, no_wait):
    """torch raises RuntimeError where a disk is full; the disk is asked whether that was it."""
    tries, asked = [], []

    def save(state, path):
        tries.append(path)
        if len(tries) < 3:
            raise RuntimeError("PytorchStreamWriter failed writing file")
        torch.save(state, path)

    monkeypatch.setattr("palenka_tune.distill.loop.save_checkpoint", save)
    monkeypatch.setattr(checkpoints, "_is_full", lambda folder: True)
    checkpoints.write(tmp_path / "a.pt", {"step": 2}, asked.append)
    assert len(asked) == 2
    tries.clear()
    monkeypatch.setattr(checkpoints, "_is_full", lambda folder: False)
    with pytest.raises(RuntimeError, match="failed writing"):
        checkpoints.write(tmp_path / "a.pt", {"step": 3}, asked.append)
    assert load_checkpoint(tmp_path / "a.pt") == {"step": 2}


def test_out_of_memory_is_no_damage(tmp_path, monkeypatch):
    checkpoints.write(tmp_path / "a.pt", STATE, refuse)

    def load(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryError):
        load_checkpoint(tmp_path / "a.pt")


def test_waiting_can_be_given_up(tmp_path, monkeypatch, no_wait):
    class Usage:
        free = 0

        def __init__(self, folder):
            pass

    def give_up(needed):
        raise InterruptedError

    monkeypatch.setattr(checkpoints.shutil, "disk_usage", Usage)
    with pytest.raises(InterruptedError):
        checkpoints.write(tmp_path / "a.pt", {"step": 2}, give_up)
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_kept_stays(tmp_path):
    for name in ("a.pt", "b.pt", "c.pt", "a.error"):
        (tmp_path / name).touch()
    checkpoints.prune(tmp_path, ["b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.error", "b.pt"]
