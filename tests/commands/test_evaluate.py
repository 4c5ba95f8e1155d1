"""The evaluate command on small exported models: tables, files, filter, text, and one sentence for each mistake."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.ewok_items import write_items
from palenka_tune.commands import evaluate, options
from palenka_tune.commands.evaluate import EvaluateConfig, main
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.evaluation import minimal_pairs
from palenka_tune.models.build import build_for_store
from palenka_tune.models.export import export_student
from palenka_tune.models.presets import ModelPreset
from tests.support.small_place import make_place

CONSOLE = functools.partial(Console, highlight=False, soft_wrap=True, width=120)

PRESETS = (
    ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False),
    ModelPreset("gpt2", "gpt2", width=32, layers=2, heads=4),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/`, `suites/` (blimp, ewok), models `llama` and `gpt2` of one tokenizer, and `other` with another."""
    folder = tmp_path_factory.mktemp("place")
    make_place(folder)
    (folder / "suites").mkdir()
    (folder / "pairs").rename(folder / "suites" / "blimp")
    more = [{"sentence_good": f"A dog saw the {w}.", "sentence_bad": f"A saw dog the {w}."} for w in ("cat", "fox")]
    (folder / "suites" / "blimp" / "more.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in more))
    write_items(folder / "suites" / "ewok")
    for name, preset, vocabulary in (("llama", 0, 300), ("gpt2", 1, 300), ("other", 0, 290)):
        prepared = prepare(DataSettings(str(folder / "data"), vocabulary, 16), folder / "runs")
        model = build_for_store(PRESETS[preset], prepared.store, seed=3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4.0)
        export_student(model, prepared.tokenizer_dir, folder / name, card="")
    return folder


def config(place: Path, *models: str, **settings) -> EvaluateConfig:
    return EvaluateConfig(tuple(str(place / model) for model in models), quiet=True, device="cpu", **settings)


def test_several_models_share_reading_and_tokenising(place: Path, capsys, monkeypatch) -> None:
    calls = []
    real = minimal_pairs.tokenise_suite
    monkeypatch.setattr(minimal_pairs, "tokenise_suite", lambda *args: calls.append(1) or real(*args))
    found = main(config(place, "llama", "gpt2", "other", suites=("blimp", "ewok"), source=str(place / "suites")))
    scores = found.models
    assert len(calls) == 2 * 2  # suites by tokenizers
    assert [each.name for each in scores] == ["llama", "gpt2", "other"]
    alone = main(config(place, "gpt2", suites=("ewok",), source=str(place / "suites")))
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


def test_what_the_filter_leaves_out_is_named(place: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "words.txt").write_text("a\ndog\nsaw\nthe\nfox\ncat\n")
    settings = {"minimal_pairs": str(place / "suites" / "blimp"), "filter_vocabulary": str(tmp_path / "words.txt")}
    main(config(place, "llama", **settings)).show(CONSOLE())
    assert "blimp_filtered: 8 pairs read in 2 sets, 4 kept, 4 filtered out" in capsys.readouterr().out
    (tmp_path / "words.txt").write_text("a\ndog\nsaw\nthe\nfox\n")
    main(config(place, "llama", **settings)).show(CONSOLE())
    assert "blimp_filtered: 8 pairs read in 2 sets, 2 kept" in capsys.readouterr().out
    (tmp_path / "words.txt").write_text("the\nsaw\ndog\ncat\n")
    main(config(place, "llama", **settings)).show(CONSOLE())
    assert "blimp_filtered: left out, as the filter keeps nothing of them: more" in capsys.readouterr().out


def test_minimal_pairs_alone_writes_as_before(place: Path, tmp_path: Path, capsys) -> None:
    scores = main(config(place, "llama", minimal_pairs=str(place / "suites" / "blimp")))
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


def test_models_of_one_name_are_told_apart(place: Path, tmp_path: Path, capsys) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best").symlink_to(place / ("llama" if name == "one" else "gpt2"))
    scores = main(
        EvaluateConfig(
            tuple(str(tmp_path / name / "best") for name in ("one", "two")),
            minimal_pairs=str(place / "suites" / "blimp"),
            output=str(tmp_path / "out"),
            device="cpu",
        )
    )
    assert list(scores) == ["one/best", "two/best"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results_one__best.json", "results_two__best.json"}
