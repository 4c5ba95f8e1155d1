"""`evaluate.run` on small exported models: what models share, what a filter leaves, what models are called."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from palenka_tune.commands import evaluate, options
from palenka_tune.errors import PalenkaError, UserError
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


def with_config(place: Path, folder: Path, **changes: Any) -> Path:
    """A copy of `llama` whose config.json has `changes`."""
    shutil.copytree(place / "llama", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_a_model_that_cannot_be_scored_loses_only_itself(place: Path, tmp_path: Path, capsys) -> None:
    """Sentences too long for one, broken weights of another: the third has its scores, and the command ends with 2."""
    from safetensors.torch import load_file, save_file

    short = with_config(place, tmp_path / "short", max_position_embeddings=2)
    broken = with_config(place, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    save_file(
        {name: each * float("nan") for name, each in weights.items()}, broken / "model.safetensors", {"format": "pt"}
    )
    pairs = ["--minimal-pairs", str(place / "suites" / "blimp"), "--device", "cpu", "--quiet"]
    argv = [str(short), str(place / "llama"), str(broken), *pairs, "--json", str(tmp_path / "all.json")]
    assert options.run(evaluate.cli, argv) == 2
    printed = capsys.readouterr()
    assert "ties 0 (counted as right)" in printed.out
    assert printed.err.count("\n") == 1
    assert "model short: " in printed.err
    assert "model broken: " in printed.err
    found = json.loads((tmp_path / "all.json").read_text())
    alone = scored(place, "llama", minimal_pairs=place / "suites" / "blimp")
    assert found["accuracy"] == alone["llama"].suites["blimp"].accuracy
    assert list(found["failed"]) == ["short", "broken"]
    with pytest.raises(UserError, match=r"model short: .*; model broken: "):
        run([short, broken], minimal_pairs=place / "suites" / "blimp", device="cpu")
    with pytest.raises(PalenkaError, match="not a finite number"):
        run(broken, minimal_pairs=place / "suites" / "blimp", device="cpu")


WITHOUT_A_LIMIT: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
}


def random_model(place: Path, folder: Path, family: str) -> Path:
    """A random model of `family` with the tokenizer of `llama`."""
    size = json.loads((place / "llama" / "config.json").read_text())["vocab_size"]
    config = AutoConfig.for_model(family, **WITHOUT_A_LIMIT[family], vocab_size=size)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(place / "llama" / name, folder / name)
    return folder


@pytest.mark.parametrize("family", WITHOUT_A_LIMIT)
def test_models_without_a_table_of_positions_are_scored(place: Path, tmp_path: Path, family: str) -> None:
    folder = random_model(place, tmp_path / family, family)
    (scores,) = run(folder, minimal_pairs=place / "suites" / "blimp", data=place / "data", device="cpu").models
    assert scores.suites["blimp"].pairs == 8
    assert scores.text["dev"].window == (64 if family == "mpt" else 128)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    first = json.loads((place / "suites" / "blimp" / "more.jsonl").read_text().splitlines()[0])
    ids = torch.tensor([[1, *tokenizer(first["sentence_good"], add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        log_p = torch.log_softmax(model(ids[:, :-1]).logits.double(), -1)[0]
    expected = sum(log_p[place, token] for place, token in enumerate(ids[0, 1:]))
    assert scores.suites["blimp"].scores[0, 0] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("separator", "note"), [("</s>", "is scored after </s>"), (None, "from its second token on")])
def test_a_tokenizer_without_a_start_token_is_scored_and_said(
    place: Path, tmp_path: Path, separator: str | None, note: str, capsys
) -> None:
    folder = with_config(place, tmp_path / "none", palenka_tune={"window": 16})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings = {name: value for name, value in settings.items() if name not in ("bos_token", "eos_token", "pad_token")}
    settings |= {"sep_token": separator} if separator else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    found = run(folder, minimal_pairs=place / "suites" / "blimp", data=place / "data", device="cpu")
    (scores,) = found.models
    assert 0 < scores.text["dev"].nats_per_token < 50
    assert scores.text["dev"].bytes == scored(place, "llama", data=place / "data")["llama"].text["dev"].bytes
    found.show(CONSOLE())
    assert f"model none: {scores.notes[0]}" in capsys.readouterr().out
    assert note in scores.notes[0]


def test_texts_are_the_units_of_the_training(place: Path, tmp_path: Path) -> None:
    """What the export notes, unless `unit` says otherwise; two models of different units do not share texts."""
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "dev").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "data" / split / f"a.{split}").write_text("The cat saw\nthe dog.\n\nThe dog saw\nthe cat.\n")
    model = with_config(place, tmp_path / "model", palenka_tune={"window": 16, "unit": "paragraph"})
    found = run([model, place / "llama"], data=tmp_path / "data", device="cpu")
    texts = {name: each.text["dev"] for name, each in found.items()}
    assert [(each.unit, each.lines) for each in texts.values()] == [("paragraph", 2), ("line", 4)]
    (given,) = run(model, data=tmp_path / "data", unit="document", device="cpu").models
    assert (given.text["dev"].unit, given.text["dev"].lines) == ("document", 1)


def test_the_folder_of_a_search_stands_for_its_best_student(place: Path, tmp_path: Path, capsys) -> None:
    search = tmp_path / "mine"
    search.mkdir()
    (search / "search.yaml").write_text("")
    with pytest.raises(UserError, match=r"mine is the folder of a search that has no best/ yet; finish it"):
        run(search, data=place / "data", device="cpu")
    shutil.copytree(place / "llama", search / "best")
    found = run(search, data=place / "data", device="cpu")
    assert found["best"].path == str(search / "best")
    found.show(CONSOLE())
    assert "mine is the folder of a search; its best student is scored" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("babytalk", "--data babytalk is no folder; give one in BabyLM layout"),
        ("owner/name", "--data owner/name is no folder; give one in BabyLM layout"),
        ("blank", r"the test split of .*blank holds no word"),
    ],
)
def test_a_corpus_that_is_none_gets_a_true_sentence(place: Path, tmp_path: Path, data: str, message: str) -> None:
    shutil.copytree(place / "data", tmp_path / "blank")
    (tmp_path / "blank" / "test").mkdir()
    (tmp_path / "blank" / "test" / "a.test").write_text(" \n\n \n")
    with pytest.raises(UserError, match=message):
        scored(place, "llama", data=tmp_path / "blank" if data == "blank" else data)
