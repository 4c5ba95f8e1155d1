"""`python -m palenka_tune.distill`: metrics, the student, and a stop that leaves no trace in the numbers."""

from __future__ import annotations

import json

import pytest

from palenka_tune.commands import distill, options
from palenka_tune.distill import loop as training
from tests.support.small_place import VOCABULARY, WINDOW, make_place

pytestmark = pytest.mark.entry


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    return folder, make_place(folder)


def run(place, out, *settings: str, code: int = 0) -> dict:
    folder, teachers = place
    argv = ["--data", str(folder / "data"), "--storage", str(folder / "runs"), "--out", str(out), "--quiet"]
    fixed = [f"teachers={json.dumps(teachers)}", f"vocabulary={VOCABULARY}", f"window={WINDOW}"]
    fixed += ["train_windows=160", "dev_windows=24", "batch_size=16", "epochs=2"]
    for setting in (*fixed, *settings):
        argv += ["--set", setting]
    assert options.run(distill.cli, argv) == code
    return json.loads((out / "metrics.json").read_text()) if code == 0 else {}


def interrupt(monkeypatch, at_step: int) -> None:
    """Ctrl-C at the given optimiser step."""
    step, calls = training.TrainingLoop._train_step, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == at_step:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(training.TrainingLoop, "_train_step", interrupted)


def test_metrics_and_student_are_written(place, tmp_path):
    metrics = run(place, tmp_path / "out", "alpha=1", "beta=2", "rank=8")
    assert {"val_ce", "val_kl", "val_hidden", "val_total", "val_ppl", "steps", "tokens", "curve"} <= set(metrics)
    assert metrics["steps"] == 20
    assert metrics["tokens"] == 20 * 16 * WINDOW
    assert metrics["settings"]["distill"]["projection"]["rank"] == 8
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "student").config.hidden_size == 64
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metrics.json", "student"]


def test_a_finished_folder_is_not_overwritten(place, tmp_path, capsys):
    run(place, tmp_path / "out", "alpha=0", "beta=0")
    run(place, tmp_path / "out", "alpha=0", "beta=0", code=2)
    assert "holds a finished student" in capsys.readouterr().err


def test_without_distillation_no_teacher_is_needed(place, tmp_path):
    metrics = run(place, tmp_path / "out", "alpha=0", "beta=0", "teachers=[]")
    assert metrics["teachers"] == {}
    assert "val_kl" not in metrics


def test_samples_for_a_divergence_that_they_cannot_give_are_refused_before_teachers_are_trained(
    place, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        "palenka_tune.students.teachers.obtain_teachers", lambda *_, **__: pytest.fail("asked for teachers")
    )
    run(place, tmp_path / "out", "divergence=reverse_kl", "cache.form=sampled", code=2)
    assert "which gives divergence forward_kl only, but distill.divergence may be reverse_kl" in capsys.readouterr().err


def test_an_interrupted_training_goes_on_to_the_same_numbers(place, tmp_path, monkeypatch):
    whole = run(place, tmp_path / "whole", "beta=2")
    interrupt(monkeypatch, at_step=13)
    run(place, tmp_path / "parts", "beta=2", code=130)
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    monkeypatch.undo()
    parts = run(place, tmp_path / "parts", "beta=2")
    assert parts["val_ce"] == whole["val_ce"]
    assert [point["val_total"] for point in parts["curve"]] == [point["val_total"] for point in whole["curve"]]


def test_a_checkpoint_of_other_settings_is_refused(place, tmp_path, monkeypatch, capsys):
    interrupt(monkeypatch, at_step=13)
    run(place, tmp_path / "out", "beta=2", code=130)
    monkeypatch.undo()
    capsys.readouterr()
    run(place, tmp_path / "out", "beta=3", code=2)
    assert "checkpoint of other settings" in capsys.readouterr().err


def test_with_learning_rate_zero_val_ce_is_the_same_for_every_loss(place, tmp_path):
    values = [
        run(place, tmp_path / str(number), "lr=0", f"alpha={alpha}", f"beta={beta}", f"temperature={tau}")
        for number, (alpha, beta, tau) in enumerate([(0, 0, 1), (1, 0, 2), (1, 5, 2), (3, 5, 4)])
    ]
    assert len({metrics["val_ce"] for metrics in values}) == 1
    assert len({metrics["val_total"] for metrics in values}) == 4
