import re
from pathlib import Path

import pytest
import ray

from palenka_tune.commands import options, train
from palenka_tune.commands.train import TrainOptions
from palenka_tune.errors import UserError
from palenka_tune.models.presets import PRESETS, get_preset
from palenka_tune.models.scales import get_scale
from palenka_tune.teachers.spec import TeacherSpec

from .conftest import sentences, train_here, write_corpus


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no PRESET was given"),
        ("GPT2-tin", "no model preset 'GPT2-tin' (did you mean 'GPT2-tiny'?)"),
        ("GPT2-tiny --scale smal", "no scale 'smal' (did you mean 'small'?)"),
        ("GPT2-tiny --set lrr=1", "--set lrr: unknown setting 'lrr' (did you mean 'lr'?)"),
        ("GPT2-tiny --set lr", "--set lr: write it as name=value"),
        ("GPT2-tiny --set lr=fast", "recipe.lr is 'fast'"),
        ("GPT2-tiny --set lr=-1", "lr is -1"),
        ("GPT2-tiny --set preset=Llama-tiny", "unknown setting 'preset'"),
        ("GPT2-tiny --set dev_windows=0", "dev_windows is 0; it must be 1 or more"),
        ("GPT2-tiny --seed -1", "seed is -1; it must be from 0"),
        ("GPT2-tiny --data /nowhere/babylm", "/nowhere/babylm does not exist"),
        ("GPT2-tiny --storage /proc/nowhere", "--storage /proc/nowhere is not writable"),
        ("GPT2-tiny --workers 0", "--workers is 0; it must be 1 or more"),
        ("GPT2-tiny --workers 100000", "--workers is 100000, but there are"),
        ("GPT2-tiny --workers 2 --set batch_size=2 --set accumulate=2 --address auto", "has 1 window; give 1 or less"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_no_ray(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert options.run(train.cli, arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not ray.is_initialized()


def test_the_recipe_is_the_scales_for_that_name_or_family() -> None:
    tiny = dict(get_scale("tiny").teachers)
    assert train.settings_from(TrainOptions(preset="GPT2-tiny")).recipe == tiny["GPT2-tiny"]
    assert train.settings_from(TrainOptions(preset="BabyLlama1-58M")).recipe == tiny["Llama-tiny"]
    poster = train.settings_from(TrainOptions(preset="GPT2-small-97M", scale="poster"))
    assert poster.recipe == dict(get_scale("poster").teachers)["GPT2-705M"]
    assert (poster.data.vocabulary, poster.data.window, poster.dev_windows) == (16_000, 128, 8192)


def test_settings_override_the_scale() -> None:
    overrides = {"lr": 0.5, "recipe.epochs": 3, "window": 32, "dev_windows": None}
    settings = train.settings_from(
        TrainOptions(preset="GPT2-tiny", scale="poster", data="some/folder", seed=7, settings=overrides)
    )
    assert (settings.recipe.lr, settings.recipe.epochs, settings.data.window) == (0.5, 3.0, 32)
    assert (settings.dev_windows, settings.seed, settings.data.source) == (None, 7, "some/folder")
    with pytest.raises(UserError, match="train: batch_size 16 must be divisible by accumulate 5"):
        train.settings_from(TrainOptions(preset="GPT2-tiny", settings={"accumulate": 5}))


def test_the_list_has_every_preset_with_its_true_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert options.run(train.cli, ["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= set(PRESETS)
    [row] = [line for line in lines if line.startswith("GPT2-705M")]
    assert row.endswith("704.93 M")


def test_a_teacher_that_exists_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path / "corpus", sentences(60, 1), sentences(20, 2))
    common = ["Student-tiny", "--data", str(corpus), "--storage", str(tmp_path / "storage")]
    overrides = ["--set", "vocabulary=300", "--set", "window=16", "--set", "epochs=0.5", "--set", "lr=1e-2"]
    overrides += ["--set", "dev_windows=null"]
    changed = {"vocabulary": 300, "window": 16, "epochs": 0.5, "lr": 1e-2, "dev_windows": None}
    settings = train.settings_from(TrainOptions(preset="Student-tiny", data=str(corpus), settings=changed))
    prepared = train.data.prepare(settings.data, tmp_path / "storage")
    folder = train_here(TeacherSpec(get_preset("Student-tiny"), settings.recipe, 0), prepared, tmp_path / "storage")
    assert options.run(train.cli, [*common, *overrides, "--quiet"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("already trained with these settings on this data: Student-tiny, ")
    assert re.search(r"dev CE \d\.\d{4} nats per token \(perplexity \d+\.\d\)", line)
    assert line.endswith(str(folder))
    assert not ray.is_initialized()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.entry
def test_a_user_trains_a_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path / "corpus", sentences(60, 1), sentences(20, 2))
    arguments = ["Student-tiny", "--data", str(corpus), "--storage", str(tmp_path / "storage"), "--workers", "1"]
    arguments += ["--set", "vocabulary=300", "--set", "window=16", "--set", "batch_size=8"]
    assert options.run(train.cli, arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert any("Student-tiny: Llama, d 64" in line and "parameters" in line for line in lines)
    assert any("epoch 1 of" in line and "dev CE" in line for line in lines)
    assert re.search(
        r"dev CE .*perplexity .* tokens at [\d,]+ tokens/s; .*/artifacts/teachers/Student-tiny-", lines[-1]
    )
    assert Path(lines[-1].rsplit("; ", 1)[1], "model.safetensors").is_file()
    assert not ray.is_initialized()
