"""Model folders that cannot teach are told from their files alone, by what people have in such folders."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, LlamaConfig, LlamaForCausalLM, LlamaModel

from palenka_tune.errors import UserError
from palenka_tune.models.export import load_weights
from palenka_tune.models.given import read_architecture
from palenka_tune.models.weights import check_weights, weight_files
from palenka_tune.teachers.spec import open_teacher

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 269060552\n"
SIZES = {
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Llama of two layers with a head of its own, in several files."""
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(tmp_path / "model", max_shard_size="20KB")
    return tmp_path / "model"


def change(folder: Path, **settings: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def test_the_numbers_of_all_shards_are_counted_and_those_of_another_copy_are_not(folder: Path) -> None:
    assert len(weight_files(folder)) > 1
    count = sum(parameter.numel() for parameter in LlamaForCausalLM(LlamaConfig(**SIZES)).parameters())
    (folder / "consolidated.safetensors").write_bytes(weight_files(folder)[0].read_bytes())
    assert check_weights(folder, 2) == open_teacher(folder).parameters == count


def test_a_file_that_is_not_there_or_not_itself_is_named(folder: Path) -> None:
    first, second = weight_files(folder)[:2]
    second.unlink()
    with pytest.raises(UserError, match=f"{second.name} is not there"):
        open_teacher(folder)
    second.write_text(POINTER)
    with pytest.raises(UserError, match=r"Git LFS pointer.* git lfs pull"):
        open_teacher(folder)
    second.write_bytes(first.read_bytes()[:100])
    with pytest.raises(UserError, match="no whole safetensors file"):
        open_teacher(folder)


@pytest.mark.parametrize("text", [POINTER, '{"model_type": "llama",'])
def test_a_configuration_that_is_a_pointer_or_torn_is_the_users_to_mend(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"Git LFS pointer|is no JSON"):
        open_teacher(folder)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantized \(gptq\)"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification, which has no head"),
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM, which has no head"),
        ({"num_hidden_layers": 4}, "says 4 layers, and its weights have 2"),
    ],
)
def test_models_for_something_else_are_told_before_they_are_loaded(
    folder: Path, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        open_teacher(change(folder, **settings))


def test_a_model_without_its_head_is_told_unless_its_embedding_is_the_head(tmp_path: Path) -> None:
    for tied in (False, True):
        folder = tmp_path / str(tied)
        LlamaModel(LlamaConfig(**SIZES, tie_word_embeddings=tied)).save_pretrained(folder)
        if tied:
            open_teacher(folder)
        else:
            with pytest.raises(UserError, match="an embedding and no head"):
                open_teacher(folder)


def test_what_lies_in_folders_instead_of_a_model_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=f"such as {folder}"):
        open_teacher(tmp_path)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "meta-llama/Llama-3.2-1B"}')
    with pytest.raises(UserError, match=r"LoRA adapter of meta-llama/Llama-3.2-1B"):
        open_teacher(adapter)
    for path in weight_files(folder):
        path.unlink()
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model-q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="GGUF only"):
        open_teacher(folder)


def test_a_multimodal_model_is_called_so(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": {"hidden_size": 16}}))
    with pytest.raises(UserError, match=r"multimodal model \(gemma3\)"):
        read_architecture(folder)


def test_a_model_that_reads_ahead_does_not_load(tmp_path: Path, folder: Path) -> None:
    torch.manual_seed(0)
    BertLMHeadModel(BertConfig(**SIZES, initializer_range=0.5)).save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match="reads the tokens after a position too"):
        load_weights(tmp_path / "bert")
    load_weights(folder)
