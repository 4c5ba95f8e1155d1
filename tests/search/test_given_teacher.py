"""A teacher that exists, as a person names it: what is planned, and each sentence that refuses one; Ray is never
started."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from palenka_tune.commands import options, search
from tests.commands.test_bad_input import corpus, no_ray, refused  # noqa: F401 (a fixture)
from tests.support.families import make_teacher
from tests.support.tokenizers import byte_level, gpt2_files


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a corpus `text`, a teacher `teacher` with its tokenizer, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    corpus(tmp_path / "text")
    make_teacher("llama", byte_level(tmp_path / "tokenizer"), tmp_path / "teacher", 420)
    return tmp_path


BASE = ["dskd", "--data", "text", "--set", "window=16", "--set", "rank=8"]


def test_the_plan_says_what_was_given(place, capsys) -> None:
    argv = [
        *BASE,
        "--set",
        "projection.rank={choice: [8]}",
        "--set",
        "teachers=[teacher]",
        "--set",
        "student.tied=true",
    ]
    assert options.run(search.cli, [*argv, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "the tokenizer of" in said
    assert "/teacher" in said
    assert not (place / "palenka_runs").exists()


@pytest.mark.parametrize(
    ("student", "sentence"),
    [
        (["student.preset=./teacher", "student.layers=2", "student.init=teacher"], None),
        (["student.preset=./teacher", "student.init=weights"], None),
        (["student.preset=./teacher", "student.layers=9", "student.init=teacher"], "student.layers is 9"),
        (["student.init=teacher"], "has width 64 and the teacher teacher 32"),
        (["student.preset=./teacher", "student.width=16"], "student.width is given"),
        (["student.preset=./nobody"], "student.preset ./nobody is not a folder"),
        (["student.width=65"], "width 65 must be divisible by heads 4"),
    ],
)
def test_students_are_told_early(place, capsys, student, sentence) -> None:
    argv = [
        *BASE,
        "--set",
        "teachers=[./teacher]",
        "--dry-run",
        *(part for each in student for part in ("--set", each)),
    ]
    if sentence is None:
        assert options.run(search.cli, argv) == 0
    else:
        assert sentence in refused(capsys, search, argv)


def test_a_student_beside_which_transformers_replaces_the_tokenizer_is_refused(place, capsys) -> None:
    """An export of it would be read with other ids than it was trained on."""
    make_teacher("qwen2", place / "tokenizer", place / "student", 420)
    capsys.readouterr()  # what transformers writes about the weights
    argv = [*BASE, "--set", "student.preset=./student"]
    said = refused(capsys, search, argv)
    assert "model_type qwen2, beside which transformers replaces a tokenizer trained on the text" in said
    argv += ["--set", "projection.rank={choice: [8]}", "--set", "teachers=[./teacher]", "--dry-run"]
    assert options.run(search.cli, argv) == 0  # the teacher's is of Qwen2's kind


def without_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def of_its_own(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "of_its_own", "auto_map": {"AutoModelForCausalLM": "model.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.py").write_text("raise SystemExit('code of a folder was run')")


def short(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 8}
    (folder / "config.json").write_text(json.dumps(config))


def of_a_family_to_come(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "gpt99"}
    (folder / "config.json").write_text(json.dumps(config))


def narrow(folder: Path) -> None:
    make_teacher(
        "llama", folder.parent / "tokenizer", folder, 420, hidden_size=4, num_attention_heads=2, num_key_value_heads=2
    )


def of_another(folder: Path) -> None:
    shutil.rmtree(folder.parent / "tokenizer")
    byte_level(folder.parent / "tokenizer", vocabulary=270)
    shutil.copy(folder.parent / "tokenizer" / "tokenizer.json", folder / "tokenizer.json")


SPOILT = {
    "weights as a pickle": (without_safetensors, ["./teacher"], "save_pretrained"),
    "code of its own": (of_its_own, ["./teacher"], "which is never run"),
    "a family to come": (of_a_family_to_come, ["./teacher"], "model_type 'gpt99', of which this transformers has no"),
    "narrower than the rank": (narrow, ["./teacher"], "projection.rank is 8, but a teacher's hidden states are 4 wide"),
    "few positions": (short, ["./teacher"], "reads 8 tokens at most and the windows have 16"),
    "no such folder": (None, ["./nobody"], "./nobody is not a folder"),
    "no such preset": (None, ["GPT2-tinny"], "did you mean 'GPT2-tiny'"),
    "another tokenizer": (of_another, ["./good", "./teacher"], "another tokenizer"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_teacher_that_cannot_teach_is_refused_in_one_sentence(place, capsys, case) -> None:
    spoil, teachers, sentence = SPOILT[case]
    shutil.copytree(place / "teacher", place / "good")
    if spoil is not None:
        spoil(place / "teacher")
    argv = [*BASE, "--set", "projection.rank={choice: [8]}", "--set", f"teachers=[{', '.join(teachers)}]"]
    capsys.readouterr()
    assert sentence in refused(capsys, search, argv)
    assert sentence in refused(capsys, search, [*argv, "--dry-run"])


def test_a_hub_that_cannot_be_reached_is_said(place, capsys) -> None:
    argv = [*BASE, "--set", "teachers=[nobody/teacher]"]
    assert options.run(search.cli, argv) != 0
    said = capsys.readouterr().err
    assert "nobody/teacher is no folder here" in said
    assert "hub" in said


def test_gpt2s_two_files_are_a_tokenizer(place, capsys) -> None:
    for path in (place / "teacher").glob("tokenizer*"):
        path.unlink()
    for path in gpt2_files(place / "files").iterdir():
        shutil.copy(path, place / "teacher" / path.name)
    argv = [*BASE, "--set", "projection.rank={choice: [8]}", "--set", "teachers=[./teacher]", "--dry-run"]
    assert options.run(search.cli, argv) == 0
