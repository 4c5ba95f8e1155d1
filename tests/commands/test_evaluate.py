"""The evaluate command on small exported models: tables, files, filter, text, and one sentence for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from palenka_tune.commands import evaluate, options
from palenka_tune.evaluation.run import run
from tests.support.exported_models import make_models


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make_models` makes."""
    folder = tmp_path_factory.mktemp("place")
    make_models(folder)
    return folder


def test_filter_text_and_files(place: Path, tmp_path: Path, capsys) -> None:
    """The corpus has cat and dog and no fox, and none of the words of the made items' domains."""
    argv = ["--suite", "blimp", "--source", place / "suites", "--filter-vocabulary", place / "data"]
    argv += ["--data", place / "data", "--output", tmp_path / "out", "--log-samples", "--json", tmp_path / "all.json"]
    assert (
        options.run(evaluate.cli, [str(part) for part in [place / "llama", *argv, "--quiet", "--device", "cpu"]]) == 0
    )
    printed = capsys.readouterr().out
    assert "blimp_filtered: 8 pairs read in 2 sets, 7 kept, 1 filtered out, ties 0 (counted as right)" in printed
    assert "dev, bits per byte" in printed
    found = json.loads((tmp_path / "all.json").read_text())
    assert (found["suite"], found["pairs"], found["filtered_out"]) == ("blimp_filtered", 7, 1)
    (model,) = found["models"]
    assert model["suites"]["blimp_filtered"]["accuracy"] == found["accuracy"]
    dev = model["text"]["dev"]
    assert dev["window"] == 16
    assert set(model["text"]) == {"dev"}
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json*")) == [
        "babylm/blimp/llama/blimp_more_filtered_results.jsonl",
        "babylm/blimp/llama/blimp_order_filtered_results.jsonl",
        "llama/samples_blimp_more_filtered.jsonl",
        "llama/samples_blimp_order_filtered.jsonl",
        "results_llama.json",
        "text_llama.json",
    ]
    assert json.loads((tmp_path / "out" / "text_llama.json").read_text())["dev"] == dev


def test_minimal_pairs_alone_writes_as_before(place: Path, tmp_path: Path, capsys) -> None:
    scores = run(place / "llama", minimal_pairs=place / "suites" / "blimp", device="cpu")
    argv = [place / "llama", "--minimal-pairs", place / "suites" / "blimp", "--json", tmp_path / "a.json", "--quiet"]
    assert options.run(evaluate.cli, [*map(str, argv), "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    result = scores["llama"].suites["blimp"]
    assert (found["accuracy"], found["stderr"]) == (result.accuracy, result.stderr)
    assert [paradigm["uid"] for paradigm in found["paradigms"]] == ["more", "order"]
    assert "order" in capsys.readouterr().out  # a row a set, as there is one suite and one model


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "there is nothing to score on; give --suite with --source, --minimal-pairs or --data"),
        (["--suite", "blmp", "--source", "suites"], "there is no suite 'blmp' (did you mean 'blimp'?)"),
        (["--suite", "blimp"], "suite 'blimp' needs its files; give --source"),
        (["--source", "suites", "--data", "data"], "--source needs the names of suites"),
        (["--suite", "blimp", "--source", "suites", "--log-samples"], "--log-samples needs a folder"),
        (["--data", "data", "--log-samples", "--output", "out"], "--log-samples needs a suite"),
        (["--data", "data", "--filter-vocabulary", "data"], "--filter-vocabulary needs a suite"),
        (["--data", "nowhere"], "does not exist"),
        (["--suite", "blimp", "--source", "suites", "--filter-vocabulary", "nowhere"], "nowhere does not exist"),
        (["--suite", "blimp", "--source", "suites", "--filter-vocabulary", "data", "--filter-min-count", "0"], "is 0"),
        (
            ["--suite", "blimp", "--source", "suites", "--filter-vocabulary", "data", "--filter-min-count", "9999"],
            "no word",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_get_one_sentence(argv: list[str], message: str, place: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(place)
    assert options.run(evaluate.cli, ["llama", *argv]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not (place / "out").exists() or not any((place / "out").iterdir())


def test_models_that_cannot_be_evaluated(place: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    pairs = ["--minimal-pairs", str(place / "suites" / "blimp"), "--device", "cpu"]

    def refused(*models: Path, more: list[str] | None = None) -> str:
        assert options.run(evaluate.cli, [*map(str, models), *(more or pairs)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "a model is given twice" in refused(place / "llama", place / "llama")
    assert "nowhere is not a folder" in refused(place / "llama", place / "nowhere")
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    for file in (place / "llama").iterdir():
        (swapped / file.name).write_bytes(file.read_bytes())
    (swapped / "tokenizer.json").write_bytes((place / "other" / "tokenizer.json").read_bytes())
    assert "is not the tokenizer that the model was exported with" in refused(swapped)
    # an older export says nothing of its tokenizer; one with more tokens than the model is still refused
    old = json.loads((swapped / "config.json").read_text())
    del old["palenka_tune"]
    (swapped / "config.json").write_text(json.dumps(old))
    assert options.run(evaluate.cli, [str(swapped), *pairs]) == 0
    capsys.readouterr()
    long = tmp_path / "long"
    long.mkdir()
    text = " ".join(["The cat saw the dog."] * 80)
    (long / "a.jsonl").write_text(json.dumps({"sentence_good": "The cat.", "sentence_bad": text}))
    error = refused(place / "gpt2", more=["--minimal-pairs", str(long)])
    assert "model gpt2: " in error
    assert "a.jsonl, line 1: a sentence of" in error
    assert "but the model has 256 positions" in error
