"""A trial that is stopped, killed or damaged goes on from its checkpoint and comes to the same, rung by rung."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.distill.loop import load_checkpoint
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.runs.heartbeat import SearchPulse, TrialPulse
from palenka_tune.search.tune import trainable
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students.bench import BenchSpec
from tests.support.small_place import VOCABULARY, WINDOW, make_place

RUNGS, STEPS = [30, 60, 90], 90


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    make_place(folder)
    store = prepare(DataSettings(str(folder / "data"), VOCABULARY, WINDOW), folder / "runs").store
    return BenchSpec(str(store.folder), StudentSettings("Student-tiny", train_windows=128, dev_windows=32), ())


@pytest.fixture
def start(spec, tmp_path, monkeypatch):
    """Start the trial as an actor would, or start it again."""
    node = SimpleNamespace(get_node_id=lambda: "here")
    monkeypatch.setattr(trainable, "get_runtime_context", lambda: node)

    def start(folder=tmp_path, **more):
        config = {
            "trial_id": "trial-0000",
            "judged_until": 0,
            "bench": spec,
            "distill": DistillSettings(alpha=0.0, beta=0.0),
            "recipe": Recipe(batch_size=16, epochs=STEPS * 16 / 128, warmup_steps=2),
            "seed": 0,
            "rungs": RUNGS,
            "rung_windows": 16,
            "threads": 1,
            "folder": str(folder),
            "ce_limit": 100.0,
            "checkpoint_seconds": 0.0,
            **more,
        }
        SearchPulse(folder).run()
        made = trainable.StudentTrial.__new__(trainable.StudentTrial)
        made.setup(config)
        return made

    return start


def ends(result) -> dict:
    """What must be the same however the trial came to it."""
    return {key: value for key, value in result.items() if key in ("val_ce", "steps", "tokens", "failed", "done")}


def test_a_trial_that_is_stopped_at_every_chance_comes_to_the_same(start, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    undisturbed = start(whole)
    expected = [undisturbed.step() for _ in RUNGS]
    results, stopped_at, went_on_from = {}, [], []
    while len(results) < len(RUNGS):
        made = start()
        went_on_from.append(made._loop.step)
        SearchPulse(tmp_path).stop()
        result = made.step()
        if result["steps"] in results:  # a new process reports the last rung again
            assert ends(result) == ends(results[result["steps"]])
            result = made.step()
        if result["interrupted"]:
            stopped_at.append(result["steps"])
            assert "val_ce" not in result
        else:
            results[result["steps"]] = result
    assert [ends(result) for result in results.values()] == [ends(result) for result in expected]
    assert stopped_at == [20, 40, 80]  # between the rungs, where the loop gives a chance to
    assert went_on_from == [0, 20, 30, 40, 60, 80]
    history = [record["step"] for result in results.values() for record in result["history"]]
    assert history == [record["step"] for result in expected for record in result["history"]]


def test_a_trial_says_how_fast_it_is(start, tmp_path):
    result = start().step()
    said = TrialPulse(tmp_path, "trial-0000").read()
    assert said["step"] == 30
    assert said["tokens_per_second"] == round(result["history"][-1]["tokens_per_second"]) > 0
    assert "gpu_bytes" not in said


@pytest.mark.gpu
def test_a_trial_on_a_gpu_says_how_much_of_it_it_took(start, spec, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    start(bench=dataclasses.replace(spec, device="cuda")).step()
    said = TrialPulse(tmp_path, "trial-0000").read()
    assert 0 < said["gpu_bytes"] < said["gpu_total"] == torch.cuda.get_device_properties(0).total_memory


def test_at_rungs_the_averaged_weights_are_measured_and_at_the_end_the_student(start):
    made = start()
    for step in RUNGS[:-1]:
        result = made.step()
        measured = {averaged: made._loop.validate(teachers=False, most=16, averaged=averaged) for averaged in (0, 1)}
        assert result["steps"] == step
        assert result["val_ce"] == measured[1]["val_ce"]
        assert result["val_ce_raw"] == measured[0]["val_ce"] != result["val_ce"]
    result = made.step()
    assert result["val_ce"] == made._loop.validate()["val_ce"]
    assert result["val_ce"] != made._loop.validate(teachers=False, most=16)["val_ce"]  # on all of dev
    assert "val_ce_raw" not in result


def test_a_value_that_was_not_heard_is_reported_again(start):
    first = start().step()
    again = start()
    assert ends(again.step()) == ends(first)
    assert again.step()["steps"] == 60


def test_a_damaged_checkpoint_starts_the_trial_over_and_says_so(start, tmp_path):
    first = start().step()
    path = tmp_path / "trial-0000.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = start().step()
    assert "is damaged" in result["restarted"]
    assert ends(result) == ends(first)
    assert [record["step"] for record in result["history"]] == [20, 30]


def test_an_error_leaves_its_reason_and_a_new_try_forgets_it(start, tmp_path, monkeypatch):
    made = start()
    monkeypatch.setattr(made._loop, "run_until", lambda step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made.step()
    assert (tmp_path / "trial-0000.error").read_text() == "ZeroDivisionError: division by zero"
    start()
    assert not (tmp_path / "trial-0000.error").exists()


def test_a_trial_says_where_it_is(start, tmp_path):
    made = start()
    made.step()
    assert TrialPulse(tmp_path, "trial-0000").read()["step"] == 30
    assert load_checkpoint(tmp_path / "trial-0000.pt")["loop"]["step"] == 30


def test_what_diverges_fails_at_once(start):
    result = start(ce_limit=1e-6).step()
    assert result["failed"].startswith("diverged: val/ce")
    assert result["done"]
    assert torch.isfinite(torch.tensor(result["seconds"]))
