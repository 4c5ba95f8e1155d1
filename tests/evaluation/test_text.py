"""Nats per token and bits per byte: against the token store's windows, by hand, and what cannot be measured."""

import math
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.store import write_split
from palenka_tune.data.tokenizer import save_tokenizer, train_tokenizer
from palenka_tune.errors import UserError
from palenka_tune.evaluation.perplexity import cross_entropy
from palenka_tune.evaluation.text import TokenisedText, evaluate_text, tokenise_text, training_window
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset

LINES = ["The cats are happy.", "Who had the teacher helped?", "Ünï <s> cödé", "The dogs were not happy."] * 7
PRESET = ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False)


def test_the_same_windows_and_nats_as_in_training(tmp_path: Path) -> None:
    import pyarrow as pa
    from transformers import AutoTokenizer

    trained = train_tokenizer(LINES, 300)
    save_tokenizer(trained, tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    counts = write_split(tmp_path, "dev", LINES, trained, 24)
    column = pa.ipc.open_file(str(tmp_path / "dev.arrow")).get_batch(0).column(0)
    windows = column.flatten().to_numpy().reshape(-1, 24)
    assert (windows[-1] == 0).any()  # the last one is padded
    model = build_model(PRESET, vocabulary_size=300, pad_id=0, bos_id=1, eos_id=2, window=24, seed=0)
    expected, predicted = cross_entropy(model, windows, 0)

    text = tokenise_text(tokenizer, iter(LINES))
    assert text.ids.tolist() == windows[windows != 0].tolist()
    found = evaluate_text(model, text, training_window(model))
    assert found.nats_per_token == pytest.approx(expected, rel=1e-6)
    assert (found.predicted, found.tokens, found.window, found.lines) == (predicted, counts["tokens"], 24, 28)
    assert tokenizer.backend_tokenizer.encode_special_tokens is False  # left as it was


def test_bits_per_byte_by_hand(uniform_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Each token of a uniform model costs ln 320 nats, predicted or not."""
    text = tokenise_text(tokenizer, LINES)
    size = sum(len(line.encode()) + 1 for line in LINES)
    assert text.bytes == size > sum(len(line) + 1 for line in LINES)
    for window in (5, 32, 10_000):
        found = evaluate_text(uniform_model, text, min(window, 256))
        assert found.nats_per_token == pytest.approx(math.log(320), rel=1e-6)
        assert found.perplexity == pytest.approx(320, rel=1e-5)
        assert found.bits_per_byte == pytest.approx(len(text.ids) * math.log2(320) / size, rel=1e-6)


def test_a_remainder_of_one_token_is_no_window(uniform_model: PreTrainedModel) -> None:
    text = TokenisedText(np.arange(3, 20), lines=1, bytes=30)
    found = evaluate_text(uniform_model, text, 16)
    assert (found.predicted, found.tokens) == (15, 17)
    assert evaluate_text(uniform_model, text, 17).predicted == 16


def test_the_window_is_that_of_the_export_else_128_or_the_positions(model: PreTrainedModel) -> None:
    assert training_window(model) == 32
    model.config.palenka_tune = None
    assert training_window(model) == 128
    del model.config.palenka_tune
    assert training_window(model) == 128
    model.config.max_position_embeddings = 100
    assert training_window(model) == 100
    model.config.palenka_tune = {"window": "many"}
    assert training_window(model) == 100


def test_texts_that_cannot_be_measured(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="the text has 1 tokens, which leaves none to predict"):
        evaluate_text(model, TokenisedText(np.array([5]), 1, 1), 8)
    with pytest.raises(UserError, match="token id 320 but the model's vocabulary has 320"):
        evaluate_text(model, TokenisedText(np.array([5, 320]), 1, 1), 8)
    with pytest.raises(UserError, match="no start or no end token"):
        tokenise_text(PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>"), ["a"])
    with pytest.raises(UserError, match="does not exist"):
        open_corpus(tmp_path / "nowhere")
