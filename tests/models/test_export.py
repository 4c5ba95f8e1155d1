import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from palenka_tune.errors import UserError
from palenka_tune.models.build import build_model
from palenka_tune.models.export import export_student, load_model
from palenka_tune.models.folder import tokenizer_digest
from palenka_tune.models.presets import ModelPreset

PRESETS = {
    "llama": ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False),
    "gpt2": ModelPreset("gpt2", "gpt2", width=32, layers=2, heads=4),
}
TEXT = "The cats aren't 123 happy. Ünï 🙂\nNew line"


def student(family: str = "llama", seed: int = 0, vocabulary: int = 300) -> PreTrainedModel:
    return build_model(PRESETS[family], vocabulary_size=vocabulary, pad_id=0, bos_id=1, eos_id=2, window=16, seed=seed)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_plain_transformers_loads_the_export_and_generates(family: str, tokenizer_dir: Path, tmp_path: Path) -> None:
    model = student(family)
    folder = export_student(model, tokenizer_dir, tmp_path / "best", card="# card\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert (folder / "README.md").read_text() == "# card\n"
    assert model.training
    assert model.config.use_cache is False

    loaded = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer(TEXT)["input_ids"] == AutoTokenizer.from_pretrained(tokenizer_dir)(TEXT)["input_ids"]
    assert tokenizer.decode(tokenizer(TEXT)["input_ids"]).endswith("Ünï 🙂\nNew line")
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.model_max_length == 256

    inputs = tokenizer("The cats", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    generated = loaded.generate(**inputs, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    assert generated.shape[1] == inputs["input_ids"].shape[1] + 6
    assert loaded.config.use_cache is True
    assert (loaded.generation_config.eos_token_id, loaded.generation_config.pad_token_id) == (2, 0)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_load_model_returns_the_exported_weights(family: str, tokenizer_dir: Path, tmp_path: Path) -> None:
    model = student(family)
    loaded, tokenizer = load_model(export_student(model, tokenizer_dir, tmp_path / "best", card=""))
    assert not loaded.training
    assert loaded.dtype == torch.float32
    assert len(tokenizer) == 300
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_the_export_notes_its_window_and_tokenizer_and_transformers_keeps_both(
    tokenizer_dir: Path, tmp_path: Path
) -> None:
    folder = export_student(student(), tokenizer_dir, tmp_path / "best", card="")
    noted = json.loads((folder / "config.json").read_text())["palenka_tune"]
    assert noted == {"window": 16, "tokenizer_sha256": tokenizer_digest(tokenizer_dir)}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokenizer(["a", "b b b"], padding=True)  # which transformers then writes into tokenizer.json
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["palenka_tune"] == noted
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() != (folder / "tokenizer.json").read_bytes()
    loaded, _ = load_model(tmp_path / "again")
    assert export_student(loaded, tmp_path / "again", tmp_path / "third", card="").is_dir()
    assert json.loads((tmp_path / "third" / "config.json").read_text())["palenka_tune"] == noted


def test_another_tokenizer_in_the_folder_is_refused_and_an_older_export_is_not(
    tokenizer_dir: Path, tmp_path: Path
) -> None:
    folder = export_student(student(), tokenizer_dir, tmp_path / "best", card="")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"best/tokenizer\.json is not the tokenizer that the model was exported with"):
        load_model(folder)
    config = json.loads((folder / "config.json").read_text())
    for older in (None, {"window": 16}):
        (folder / "config.json").write_text(json.dumps(config | {"palenka_tune": older}))
        load_model(folder)


def test_an_earlier_export_is_replaced_and_nothing_else_stays(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_student(student(seed=0), tokenizer_dir, tmp_path / "best", card="one")
    (folder / "leftover.txt").write_text("of the first export")
    export_student(student(seed=1), tokenizer_dir, folder, card="two")
    assert (folder / "README.md").read_text() == "two"
    assert not (folder / "leftover.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    loaded, _ = load_model(folder)
    assert torch.equal(loaded.lm_head.weight, student(seed=1).lm_head.weight)


def test_a_failed_export_leaves_the_earlier_one(
    tokenizer_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_student(student(), tokenizer_dir, tmp_path / "best", card="one")

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", disk_full)
    with pytest.raises(OSError, match="No space left"):
        export_student(student(seed=1), tokenizer_dir, folder, card="two")
    assert (folder / "README.md").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_folder_with_other_things_is_never_replaced(tokenizer_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="home exists and is not a model folder"):
        export_student(student(), tokenizer_dir, tmp_path / "home", card="")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert (export_student(student(), tokenizer_dir, tmp_path / "empty", card="") / "config.json").is_file()


def test_a_tokenizer_that_cannot_serve_the_model_is_refused(tokenizer_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer.json, tokenizer_config.json not found"):
        export_student(student(), tmp_path, tmp_path / "best", card="")
    with pytest.raises(UserError, match="has 300 tokens but the model's vocabulary is 299"):
        export_student(student(vocabulary=299), tokenizer_dir, tmp_path / "best", card="")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        (["config.json"], "is not a Hugging Face model folder: config.json not found"),
        (["model.safetensors"], "is not a Hugging Face model folder: model.safetensors not found"),
        (["tokenizer.json"], "has no tokenizer: tokenizer.json not found"),
        (["tokenizer.json", "tokenizer_config.json"], "has no tokenizer"),
    ],
)
def test_load_says_what_is_missing(removed: list[str], message: str, tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_student(student(), tokenizer_dir, tmp_path / "best", card="")
    for name in removed:
        (folder / name).unlink()
    with pytest.raises(UserError, match=message):
        load_model(folder)


def test_load_takes_no_hub_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="gpt2 is not a folder"):
        load_model("gpt2")


def test_load_refuses_damaged_incomplete_and_foreign_folders(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = export_student(student(), tokenizer_dir, tmp_path / "best", card="")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of the model's weights, such as model\.layers\.1\.mlp\.up_proj"):
        load_model(folder)

    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="does not load as a causal language model"):
        load_model(folder)

    config = {"model_type": "evil", "auto_map": {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\nclass Config: pass\n")
    with pytest.raises(UserError, match="does not load"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()
