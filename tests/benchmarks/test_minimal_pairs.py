"""The comparison with lm-evaluation-harness on a few of babytalk's pairs, and without it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks import minimal_pairs
from palenka_tune.commands.options import run
from palenka_tune.evaluation.blimp import read_blimp
from palenka_tune.evaluation.suite import MinimalPair, Paradigm

needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness (the extra `bench`) is not installed"
)


def test_both_read_one_file_with_the_first_pairs_of_each_paradigm(tmp_path: Path) -> None:
    pairs = tuple(MinimalPair(f"Good {n}.", f"Bad “{n}”.", n) for n in range(5))
    paradigms = [Paradigm(uid, tmp_path / uid, None, pairs) for uid in ("b", "a")]
    assert minimal_pairs.write_pairs(paradigms, 2, tmp_path / "all.jsonl") == 4
    read = read_blimp(tmp_path).paradigms
    assert [(p.uid, [pair.bad for pair in p.pairs]) for p in read] == [(uid, ["Bad “0”.", "Bad “1”."]) for uid in "ba"]


@pytest.mark.parametrize("option", ["--limit", "--rounds", "--threads"])
def test_a_number_below_one_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(minimal_pairs.main, [option, "0"]) == 2
    assert capsys.readouterr().err == f"error: {option} is 0; it must be 1 or more\n"


def test_without_lm_eval_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert run(minimal_pairs.main, []) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: lm-evaluation-harness is not installed; run `pip install 'palenka-tune[bench]'`")
    assert error.count("\n") == 1


@needs_lm_eval
@pytest.mark.entry
@pytest.mark.slow
def test_on_a_fresh_clone_all_verdicts_agree(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.minimal_pairs", "--limit", "4", "--rounds", "1", "--json", str(file)]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=200)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(file.read_text())
    verdicts = found["details"]["verdicts"]
    assert verdicts["pairs"] == 4 * found["settings"]["paradigms"] > 50
    assert verdicts["pairs_that_differ"] == 0
    assert verdicts["largest_difference_of_a_score_nats"] < 1e-3
    assert 0 < verdicts["accuracy_ours"] == verdicts["accuracy_lm_eval"] < 1
    assert set(found["ratios"]) == {"ours_vs_lm_eval", "next_model_vs_lm_eval"}
    assert "0 of" in finished.stdout
