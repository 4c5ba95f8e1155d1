import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from palenka_tune.config.files import read_json
from palenka_tune.data.prepare import DataSettings, PreparedData, prepare
from palenka_tune.data.windows import window_tensor
from palenka_tune.distill.loop import DivergedError, TrainingLoop, World
from palenka_tune.distill.objective import PlainObjective
from palenka_tune.errors import PalenkaError
from palenka_tune.models.export import load_model
from palenka_tune.models.presets import ModelPreset
from palenka_tune.teachers.worker import TeacherJob, epoch_ends, run_rank

from .conftest import GPT2, LLAMA, RECIPE, job_for, sentences, write_corpus


class StopError(Exception):
    pass


def train(job: TeacherJob, stop_after: int | None = None) -> list[dict[str, float]]:
    reports: list[dict[str, float]] = []

    def report(metrics: dict[str, float]) -> None:
        assert (job.work / "last.pt").exists()
        reports.append(metrics)
        if metrics["epoch"] == stop_after:
            raise StopError

    run_rank(job, device=torch.device("cpu"), world=World(), report=report)
    return reports


@pytest.mark.parametrize("preset", [GPT2, LLAMA], ids=lambda preset: preset.family)
def test_it_has_a_pulse(preset: ModelPreset, data: PreparedData, tmp_path: Path) -> None:
    reports = train(job_for(data, tmp_path, preset=preset))
    assert [report["epoch"] for report in reports] == [1, 2]
    result = read_json(tmp_path / "result.json")
    assert result["val_ce"] == min(report["val_ce"] for report in reports) < 0.6 * math.log(data.store.vocabulary_size)
    # The exported folder is the model that was measured.
    model, tokenizer = load_model(tmp_path / "export")
    assert len(tokenizer) == data.store.vocabulary_size
    assert sum(p.numel() for p in model.parameters()) == result["parameters"]
    train_windows, dev = (window_tensor(data.store.windows(split)) for split in ("train", "dev"))
    loop = TrainingLoop(model, PlainObjective(0), train_windows, dev, RECIPE, pad_id=0, seed=0)
    assert loop.validate()["val_ce"] == pytest.approx(result["val_ce"], abs=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["tokens"] for line in lines if line["kind"] == "epoch"][-1] == result["tokens"]
    records = [line for line in lines if line["kind"] == "train"]
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[-1]["seconds_left"] == 0
    assert [record["epoch"] for record in records] == sorted(record["epoch"] for record in records)


def test_a_stop_changes_nothing(data: PreparedData, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=3)
    whole = train(job_for(data, tmp_path / "whole", recipe=recipe))
    job = job_for(data, tmp_path / "stopped", recipe=recipe)
    with pytest.raises(StopError):
        train(job, stop_after=1)
    rest = train(job)
    assert [report["epoch"] for report in rest] == [2, 3]
    assert rest == whole[1:]
    ours, theirs = (load_file(tmp_path / name / "export" / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_finished_training_is_only_exported_again(data: PreparedData, tmp_path: Path) -> None:
    job = job_for(data, tmp_path)
    train(job)
    before = read_json(tmp_path / "result.json")
    (tmp_path / "result.json").unlink()
    (tmp_path / "export" / "config.json").unlink()  # as if it died while the files were moved
    assert train(job) == []
    assert read_json(tmp_path / "result.json") == before
    load_model(tmp_path / "export")


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    # Dev says other things than train, so that training on and on makes it worse.
    corpus = write_corpus(tmp_path / "corpus", "the cat sees the dog.\n" * 40, sentences(20, 3))
    data = prepare(DataSettings(str(corpus), vocabulary=300, window=16), tmp_path / "storage")
    job = job_for(data, tmp_path / "work", recipe=replace(RECIPE, epochs=8, batch_size=2))
    reports = train(job)
    curve = [report["val_ce"] for report in reports]
    result = read_json(tmp_path / "work" / "result.json")
    assert curve[-1] > min(curve)
    assert result["best_epoch"] == 1 + curve.index(min(curve)) < len(curve)
    model, _ = load_model(tmp_path / "work" / "export")
    dev = window_tensor(data.store.windows("dev"))
    measured = TrainingLoop(model, PlainObjective(0), dev, dev, RECIPE, pad_id=0, seed=0).validate()["val_ce"]
    assert measured == pytest.approx(min(curve), abs=1e-5)
    assert f"best epoch | {result['best_epoch']} of 8" in (tmp_path / "work" / "export" / "README.md").read_text()


def test_the_seed_decides(data: PreparedData, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=0.5)
    curves = [train(job_for(data, tmp_path / str(i), recipe=recipe, seed=seed)) for i, seed in enumerate((1, 1, 2))]
    assert curves[0] == curves[1]
    assert curves[0][0]["val_ce"] != curves[2][0]["val_ce"]


def test_dev_windows_cap_the_measurement(data: PreparedData, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=0.5)
    few = train(job_for(data, tmp_path / "few", recipe=recipe, dev_windows=3))
    every = train(job_for(data, tmp_path / "every", recipe=recipe, dev_windows=10_000))
    all_of_them = train(job_for(data, tmp_path / "all", recipe=recipe))
    assert every == all_of_them
    assert few[0]["val_ce"] != every[0]["val_ce"]


def test_a_fault_that_would_come_back_is_not_tried_again(data: PreparedData, tmp_path: Path) -> None:
    job = job_for(data, tmp_path, recipe=replace(RECIPE, lr=1e30, warmup_steps=0))
    with pytest.raises(DivergedError):
        train(job)
    assert "became nan" in read_json(tmp_path / "failed.json")["reason"]
    assert train(job) == []  # a restarted worker returns at once
    assert not (tmp_path / "export").exists()


def test_a_damaged_checkpoint_says_so(data: PreparedData, tmp_path: Path) -> None:
    job = job_for(data, tmp_path)
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(PalenkaError, match=r"last\.pt is damaged .*; delete it"):
        train(job)


@pytest.mark.parametrize(
    ("epochs", "ends"),
    [(2, [12, 25]), (1, [12]), (0.5, [6]), (2.5, [12, 25, 31]), (0.01, [1])],
)
def test_epochs_end_where_the_windows_do(epochs: float, ends: list[int]) -> None:
    total = max(1, round(epochs * 100 / 8))
    assert epoch_ends(epochs, windows=100, batch_size=8, total_steps=total) == ends


def test_a_batch_larger_than_the_data_still_ends() -> None:
    assert epoch_ends(3, windows=4, batch_size=32, total_steps=1) == [1]
