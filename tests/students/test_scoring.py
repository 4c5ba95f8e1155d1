"""What is refused before anything is trained, as the models that are to be scored could not read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from palenka_tune.errors import UserError
from palenka_tune.evaluation.suites import SuiteChoice
from palenka_tune.models.presets import ModelPreset
from palenka_tune.students.scoring import check_suites
from tests.support.tokenizers import byte_level

PRESETS = [ModelPreset("wide", "gpt2", width=32, layers=2, heads=4, positions=64)]
PRESETS += [ModelPreset("narrow", "gpt2", width=16, layers=2, heads=4, positions=48)]
ITEM = {"Context1": "It rains.", "Context2": "It snows.", "Target1": "It is wet.", "Target2": "It is cold."}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return byte_level(tmp_path / "tokenizer")


def suite(folder: Path, name: str, *records: dict[str, str]) -> SuiteChoice:
    (folder / name).mkdir(parents=True)
    (folder / name / "x.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return SuiteChoice(name, str(folder))


@pytest.mark.parametrize(
    "choice",
    [
        lambda folder: suite(folder, "blimp", {"sentence_good": "Yes.", "sentence_bad": "a b " * 40}),
        lambda folder: suite(folder, "ewok", ITEM | {"Context2": "a b " * 40}),
    ],
    ids=["sentence", "context"],
)
def test_the_shortest_model_decides(tmp_path: Path, tokenizer: Path, choice) -> None:
    choices = [choice(tmp_path / "suites")]
    check_suites(choices, tokenizer, PRESETS, window=300)  # twice as many positions
    with pytest.raises(UserError, match=r"x.jsonl, line 1: a sentence of \d+ tokens, but the model has 48 positions"):
        check_suites(choices, tokenizer, PRESETS, window=20)


def test_a_given_teacher_counts_and_one_without_a_limit_does_not(tmp_path: Path, tokenizer: Path) -> None:
    choices = [suite(tmp_path / "suites", "blimp", {"sentence_good": "Yes.", "sentence_bad": "a b " * 40})]
    for name, config in (("bloom", {}), ("short", {"n_positions": 24})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "x", **config}))
    check_suites(choices, tokenizer, PRESETS, window=300, given=[tmp_path / "bloom"])
    with pytest.raises(UserError, match=r"has 24 positions; remove the pair or give another teacher than .*short"):
        check_suites(choices, tokenizer, PRESETS, window=300, given=[tmp_path / "bloom", tmp_path / "short"])
