"""Bad input, given as a user would: one sentence on stderr, exit code 2, and Ray is never started."""

from __future__ import annotations

import json

import pytest
import yaml

from palenka_tune.commands import distill, evaluate, options, reproduce, search


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """Whoever starts Ray fails the test."""
    import ray

    def refuse(*args, **kwargs):
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", refuse)


def corpus(folder, *, train=300, dev=60, layout=("train", "dev")):
    for split, lines in zip(layout, (train, dev), strict=True):
        (folder / split).mkdir(parents=True)
        text = "".join(f"The {word} cat sees a dog and a bird {n} .\n" for n in range(lines) for word in ("old",))
        (folder / split / f"book.{split}").write_text(text, encoding="utf-8")
    return folder


def refused(capsys, command, argv) -> str:
    assert options.run(command.cli, [str(part) for part in argv]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["dksd"], "did you mean 'dskd'"),
        (["--data", "./no_such_folder"], "no_such_folder"),
        (["--scale", "tinny"], "did you mean 'tiny'"),
        (["--set", "alpha=-1"], "alpha is -1.0; it must be 0 or more"),
        (["--set", "beta=-1"], "beta is -1.0; it must be 0 or more"),
        (["--set", "temperature=0"], "it must be above 0"),
        (["--set", "kind=lin"], "'linear', 'mlp', 'orthogonal' or 'identity'"),
        (["--set", "kind=identity"], "needs equal widths"),
        (["--set", "layer_map={9: 0}"], "hidden states 0 to 4 and the student 0 to 4"),
        (["--set", "beta={log_uniform: [9, 1]}"], "turned around"),
        (["--set", "sampler=tpa"], "did you mean 'tpe'"),
        (["--set", "student.preset=Student-tinny"], "did you mean 'Student-tiny'"),
        (["--set", "nonsense=1"], "unknown setting 'nonsense'"),
        (["--set", "beta"], "name=value"),
        (["--gpus-per-trial", "0.5"], "no CUDA GPU"),
        (["--gpus-per-trial", "-1"], "give 0 to 1"),
        (["--gpus-per-trial", "2"], "give 0 to 1"),
        (["--concurrent", "0"], "1 or more"),
        (["--samples", "0"], "it must be from 1"),
        (["--samples", "many"], "invalid int value"),
        (["--name", "../x"], "cannot be a run's name"),
        (["--minimal-pairs", "./no_pairs"], "no_pairs"),
        (["--seed", "-4"], "seed is -4"),
        (["--study-storage", "postgresql+nonsense://host/db"], "is no address of a database"),
        (["--study-storage", "postgresql://host:port/db"], "is no address of a database"),
        (["--study-storage", "postgresql+pg8000://host/db"], "needs a driver that is missing (pg8000)"),
        (["--register", "babylm/58m"], "cannot be a registered model's name"),
        (["--register", ""], "cannot be a registered model's name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_search_refuses(capsys, tmp_path, monkeypatch, argv, message):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert message in refused(capsys, search, [*argv, "--storage", tmp_path])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_is_answered_with_a_few_names(capsys, tmp_path):
    message = refused(capsys, search, ["--set", "zzzz=1", "--storage", tmp_path])
    assert "unknown setting 'zzzz' (nearest of " in message
    assert message.endswith("; python -m palenka_tune.init DIR writes a file with all")
    assert message.count(",") < 5


def test_search_refuses_a_run_name_in_use(capsys, tmp_path):
    (tmp_path / "mine").mkdir()
    assert "is in use" in refused(capsys, search, ["--name", "mine", "--storage", tmp_path])


def test_search_refuses_storage_that_is_not_writable(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "not writable" in refused(capsys, search, ["--storage", tmp_path / "file" / "runs"])


def test_search_refuses_an_unknown_key_in_yaml(capsys, tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"beta": {"choice": [1]}}, "serach": {}}))
    assert "did you mean 'search'" in refused(capsys, search, [path, "--storage", tmp_path / "runs"])


@pytest.mark.parametrize("command", [search, distill])
def test_bad_corpora_are_refused(capsys, tmp_path, command):
    rest = ["--storage", tmp_path / "runs", *(["--out", tmp_path / "out"] if command is distill else [])]
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, command, ["--data", tmp_path / "empty", *rest])
    no_dev = tmp_path / "no_dev"
    (no_dev / "train").mkdir(parents=True)
    (no_dev / "train" / "a.train").write_text("One line.\n" * 200)
    assert "dev" in refused(capsys, command, ["--data", no_dev, *rest])
    broken = corpus(tmp_path / "broken")
    (broken / "train" / "bad.train").write_bytes(b"good line\nbad \xff line\n")
    message = refused(capsys, command, ["--data", broken, *rest])
    assert "bad.train" in message
    assert "14" in message
    short = corpus(tmp_path / "short", dev=1)
    assert "window" in refused(capsys, command, ["--data", short, *rest])


def test_a_teacher_with_another_vocabulary_is_refused(capsys, tmp_path):
    from palenka_tune.data.prepare import DataSettings, prepare
    from palenka_tune.models.build import build_model
    from palenka_tune.models.export import export_student
    from palenka_tune.models.presets import get_preset

    other = prepare(DataSettings(str(corpus(tmp_path / "other", train=400)), 300, 16), tmp_path / "elsewhere")
    model = build_model(
        get_preset("GPT2-tiny"), vocabulary_size=other.store.vocabulary_size, pad_id=0, bos_id=1, eos_id=2, window=16
    )
    export_student(model, other.tokenizer_dir, tmp_path / "teacher", card="")
    argv = ["--data", corpus(tmp_path / "data", train=500), "--set", f"teachers=[{tmp_path / 'teacher'}]"]
    argv += ["--set", "vocabulary=270", "--set", "window=16", "--set", "tokenizer=train"]
    message = refused(capsys, search, [*argv, "--storage", tmp_path / "runs"])
    assert "has another tokenizer" in message
    assert "GPT2" in message or "teacher" in message


def test_evaluate_refuses(capsys, tmp_path):
    assert "no_pairs" in refused(capsys, evaluate, [tmp_path, "--minimal-pairs", "./no_pairs"])
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "a.jsonl").write_text('{"sentence_good": "A b.", "sentence_bad": "B a."}\n')
    assert "model.safetensors" in refused(capsys, evaluate, [tmp_path, "--minimal-pairs", pairs])


def test_a_dry_run_prints_the_plan_and_writes_nothing(capsys, tmp_path):
    assert options.run(search.cli, ["dskd", "--dry-run", "--storage", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr().out
    assert "Student-tiny" in printed
    assert "projection.rank" in printed
    assert not (tmp_path / "runs").exists()


def pairs(folder, *lines: str):
    """A suite in the challenge's layout whose file holds `lines` after a good one."""
    (folder / "blimp").mkdir(parents=True)
    good = json.dumps({"sentence_good": "The old cat sees a dog.", "sentence_bad": "The old cat see a dog."})
    (folder / "blimp" / "x.jsonl").write_text("\n".join([good, *lines]) + "\n")
    return folder


@pytest.mark.parametrize(("command", "option"), [(search, "--minimal-pairs"), (reproduce, "--source")])
def test_pairs_that_cannot_be_scored_are_refused_before_training(capsys, tmp_path, command, option):
    """By file and line; what only the tokenizer can tell, as soon as there is one."""
    argv = ["poster"] if command is reproduce else []
    argv += ["--data", corpus(tmp_path / "data"), "--storage", tmp_path / "runs", "--name", "mine", option]
    half = '{"sentence_good": "A \\ud83d cat.", "sentence_bad": "A cat."}'
    message = refused(capsys, command, [*argv, pairs(tmp_path / "half", half)])
    assert "x.jsonl, line 2: half a surrogate pair" in message
    assert not (tmp_path / "runs").exists()
    long = json.dumps({"sentence_good": "The cat sees.", "sentence_bad": "a dog and " * 400})
    message = refused(capsys, command, [*argv, pairs(tmp_path / "long", long, long)])
    assert "x.jsonl, line 2: a sentence of" in message
    assert "remove the 2 pairs that are too long or set data.window to more" in message
    if command is search:
        assert not (tmp_path / "runs" / "mine").exists()
