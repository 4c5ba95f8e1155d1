"""Students trained to their end outside a search: results that are kept, identities, stops, and Ray."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students import jobs
from palenka_tune.students.bench import BenchSpec
from palenka_tune.students.jobs import StudentJob, train_student, train_students
from palenka_tune.teachers.spec import open_teacher
from tests.support.small_place import VOCABULARY, WINDOW, make_place

POSTER = ProjectionSettings(direction="toward_larger", normalize="none", layer_map="poster")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("students")
    teachers = make_place(folder)
    prepared = prepare(DataSettings(str(folder / "data"), VOCABULARY, WINDOW), folder / "runs")
    return prepared, teachers


@pytest.fixture(autouse=True)
def one_bench():
    threads = torch.get_num_threads()
    yield
    jobs._bench.cache_clear()
    torch.set_num_threads(threads)


def make_job(place, folder: Path, name: str = "a", seed: int = 0, **distill) -> StudentJob:
    prepared, teachers = place
    settings = StudentSettings("Student-tiny", train_windows=160, dev_windows=24)
    return StudentJob(
        name=name,
        folder=str(folder / name),
        bench=BenchSpec(str(prepared.store.folder), settings, tuple(teachers)),
        distill=DistillSettings(**{"alpha": 1.0, "beta": 0.0, **distill}),
        recipe=Recipe(lr=3e-3, batch_size=16, epochs=1, warmup_steps=2),
        seed=seed,
        tokenizer_dir=str(prepared.tokenizer_dir),
        data=prepared.fingerprint,
        data_line=prepared.describe(),
        teachers=tuple((teacher.name, teacher.fingerprint) for teacher in map(open_teacher, teachers)),
    )


def test_a_student_leaves_a_model_folder_and_its_result(place, tmp_path):
    result = train_student(make_job(place, tmp_path))
    assert result == json.loads((tmp_path / "a" / "result.json").read_text())
    assert result["steps"] == 10
    assert {"val_ce", "val_kl", "val_total", "tokens", "seconds", "curve", "weights_sha256"} <= set(result)
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(tmp_path / "a" / "student").config.hidden_size == 64
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["result.json", "student"]


def test_what_is_there_is_not_trained_again_and_another_identity_is(place, tmp_path, monkeypatch):
    job = make_job(place, tmp_path)
    first = train_student(job)
    monkeypatch.setattr(TrainingLoop, "run_until", lambda self, step: pytest.fail("trained again"))
    assert train_student(job) == first
    monkeypatch.undo()
    other = dataclasses.replace(job, seed=1)
    assert other.result() is None
    assert train_student(other)["weights_sha256"] != first["weights_sha256"]


def train_until_step_six(job, monkeypatch):
    """Train a student that is interrupted in its sixth step."""
    step, calls = TrainingLoop._train_step, []

    def dies(self):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(TrainingLoop, "_train_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train_student(job)
    monkeypatch.undo()


def test_a_stopped_student_goes_on_to_the_same_weights(place, tmp_path, monkeypatch):
    whole = train_student(make_job(place, tmp_path, "whole"))
    job = make_job(place, tmp_path, "parts")
    train_until_step_six(job, monkeypatch)
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    assert train_student(job)["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.parametrize("damage", ["other identity", "torn"])
def test_a_checkpoint_that_cannot_serve_is_dropped(place, tmp_path, monkeypatch, damage):
    whole = train_student(make_job(place, tmp_path, "whole"))
    job = make_job(place, tmp_path, "parts", seed=7 if damage == "other identity" else 0)
    train_until_step_six(job, monkeypatch)
    path = tmp_path / "parts" / "checkpoint.pt"
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-1000])
    assert train_student(dataclasses.replace(job, seed=0))["weights_sha256"] == whole["weights_sha256"]


def test_a_student_that_diverges_fails_with_its_reason(place, tmp_path):
    job = dataclasses.replace(make_job(place, tmp_path), recipe=Recipe(lr=1e30, batch_size=16, warmup_steps=0))
    result = train_student(job)
    assert (result["val_ce"], result["seed"]) == (None, 0)
    assert "the training loss became" in result["diverged"]
    assert job.result() == result  # it would diverge again


def test_as_published_beta_changes_no_bit_of_the_student_and_corrected_it_does(place, tmp_path):
    found = {
        (beta, gradient): train_student(
            make_job(place, tmp_path, f"{beta}-{gradient}", beta=beta, hidden_gradient=gradient, projection=POSTER)
        )
        for beta in (0.1, 0.3, 0.5)
        for gradient in (False, True)
    }
    digests = {gradient: {found[b, gradient]["weights_sha256"] for b in (0.1, 0.3, 0.5)} for gradient in (False, True)}
    assert len(digests[False]) == 1
    assert len(digests[True]) == 3
    low, middle, high = (found[beta, False]["val_total"] for beta in (0.1, 0.3, 0.5))
    assert middle - low == pytest.approx(high - middle, rel=1e-3)
    assert high > low


@pytest.mark.ray
@pytest.mark.slow
def test_students_train_side_by_side_and_one_that_fails_stops_nobody(place, tmp_path, logged):
    from palenka_tune.cluster.session import ray_session
    from palenka_tune.cluster.tasks import Share

    jobs = [make_job(place, tmp_path, f"s{seed}", seed=seed) for seed in (0, 1)]
    broken = make_job(place, tmp_path, "broken")
    jobs.append(dataclasses.replace(broken, bench=dataclasses.replace(broken.bench, store=str(tmp_path / "nowhere"))))
    here, seen = train_student(make_job(place, tmp_path, "here")), []
    with ray_session(cpus=2):
        results = train_students(
            jobs,
            Share(2, 1),
            on_result=lambda job, result: seen.append((job.name, "failed" in result)),
        )
    assert [result["name"] for result in results] == ["s0", "s1", "broken"]
    assert results[0]["weights_sha256"] == here["weights_sha256"]
    assert results[1]["weights_sha256"] != here["weights_sha256"]
    assert "does not exist" in results[2]["failed"]
    assert sorted(seen) == [("broken", True), ("s0", False), ("s1", False)]
    assert any("[3/3]" in line for line in logged)
