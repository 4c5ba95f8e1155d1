"""`evaluate.run` on small exported models: what models share, what a filter leaves, what models are called."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from palenka_tune.evaluation import minimal_pairs
from palenka_tune.evaluation.results import EvaluationResult
from palenka_tune.evaluation.run import run
from tests.support.exported_models import make_models

CONSOLE = functools.partial(Console, highlight=False, soft_wrap=True, width=120)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make_models` makes."""
    folder = tmp_path_factory.mktemp("place")
    make_models(folder)
    return folder


def scored(place: Path, *models: str, **settings: Any) -> EvaluationResult:
    return run([place / model for model in models], device="cpu", **settings)


def test_several_models_share_reading_and_tokenising(place: Path, capsys, monkeypatch) -> None:
    calls = []
    real = minimal_pairs.tokenise_suite
    monkeypatch.setattr(minimal_pairs, "tokenise_suite", lambda *args: calls.append(1) or real(*args))
    found = scored(place, "llama", "gpt2", "other", suites=("blimp", "ewok"), source=place / "suites")
    scores = found.models
    assert len(calls) == 2 * 2  # suites by tokenizers
    assert [each.name for each in scores] == ["llama", "gpt2", "other"]
    alone = scored(place, "gpt2", suites="ewok", source=place / "suites")
    assert alone["gpt2"].suites["ewok"].paradigms == scores[1].suites["ewok"].paradigms
    assert scores[0].suites["ewok"].paradigms != scores[1].suites["ewok"].paradigms
    assert capsys.readouterr().out == ""
    found.show(CONSOLE(), per_set=True)
    printed = capsys.readouterr().out
    assert "blimp: 8 pairs read in 2 sets, 8 kept, 0 filtered out, ties 0 (llama), 0 (gpt2), 0 (other)" in printed
    header = next(line for line in printed.splitlines() if "suite, set" in line)
    assert [word for word in header.split() if word in ("llama", "gpt2", "other")] == ["llama", "gpt2", "other"]
    for shown in ("ewok, same target, two contexts", "directions", f"{100 * scores[1].suites['blimp'].accuracy:.2f}"):
        assert shown in printed


def test_what_the_filter_leaves_out_is_named(place: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "words.txt").write_text("a\ndog\nsaw\nthe\nfox\ncat\n")
    settings = {"minimal_pairs": place / "suites" / "blimp", "filter_vocabulary": tmp_path / "words.txt"}
    scored(place, "llama", **settings).show(CONSOLE())
    assert "blimp_filtered: 8 pairs read in 2 sets, 4 kept, 4 filtered out" in capsys.readouterr().out
    (tmp_path / "words.txt").write_text("a\ndog\nsaw\nthe\nfox\n")
    scored(place, "llama", **settings).show(CONSOLE())
    assert "blimp_filtered: 8 pairs read in 2 sets, 2 kept" in capsys.readouterr().out
    (tmp_path / "words.txt").write_text("the\nsaw\ndog\ncat\n")
    scored(place, "llama", **settings).show(CONSOLE())
    assert "blimp_filtered: left out, as the filter keeps nothing of them: more" in capsys.readouterr().out


def test_models_of_one_name_are_told_apart(place: Path, tmp_path: Path, capsys) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best").symlink_to(place / ("llama" if name == "one" else "gpt2"))
    models = [str(tmp_path / name / "best") for name in ("one", "two")]
    scores = run(models, minimal_pairs=place / "suites" / "blimp", output=tmp_path / "out", device="cpu")
    assert list(scores) == ["one/best", "two/best"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results_one__best.json", "results_two__best.json"}
