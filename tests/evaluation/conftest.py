import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset

TEXT = [
    "The cats are happy and the dogs were not happy about the cats.",
    "Some people think that every woman who likes this child has seen herself.",
    "Who had the teacher helped before the girl was hugging those actors?",
]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 320 tokens with <pad> 0, <s> 1, </s> 2."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


PRESETS = [
    ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False),
    ModelPreset("gpt2", "gpt2", width=32, layers=2, heads=4),
]


@pytest.fixture(params=PRESETS, ids=lambda preset: preset.family)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A random model whose predictions are far from uniform, so that a mistake shows."""
    built = build_model(request.param, vocabulary_size=320, pad_id=0, bos_id=1, eos_id=2, window=32, seed=0)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(4.0)
    return built


@pytest.fixture
def uniform_model() -> PreTrainedModel:
    """A model that gives each of its 320 tokens the same probability: its output head is zero."""
    built = build_model(PRESETS[0], vocabulary_size=320, pad_id=0, bos_id=1, eos_id=2, window=32, seed=0)
    with torch.no_grad():
        built.get_output_embeddings().weight.zero_()
    return built


@pytest.fixture(scope="session")
def blimp() -> Path:
    root = Path(os.environ.get("PALENKA_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    if not (root / "blimp").is_dir():
        pytest.skip(f"no BLiMP in {root}; set PALENKA_TEST_DATA to a folder that holds blimp/")
    return root / "blimp"
