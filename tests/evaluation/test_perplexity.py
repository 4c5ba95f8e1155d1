"""Cross-entropy on windows against a slow loop, and on text against the token store's windows and by hand."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.store import write_split
from palenka_tune.data.tokenizer import save_tokenizer, train_tokenizer
from palenka_tune.errors import UserError
from palenka_tune.evaluation.perplexity import (
    TokenisedText,
    cross_entropy,
    evaluate_text,
    tokenise_text,
    training_window,
)
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset

LINES = ["The cats are happy.", "Who had the teacher helped?", "Ünï <s> cödé", "The dogs were not happy."] * 7
PRESET = ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False)


def padded_windows() -> np.ndarray:
    windows = np.random.default_rng(2).integers(3, 320, size=(11, 24)).astype(np.uint16)
    for row, length in ((2, 5), (6, 1), (10, 0), (3, 23)):
        windows[row, length:] = 0
    return windows


def test_equals_a_slow_loop_and_does_not_depend_on_the_batch(model: PreTrainedModel) -> None:
    windows = padded_windows()
    results = [cross_entropy(model, windows, 0, batch=batch) for batch in (1, 4, 32)]
    reference = model.double().eval()
    total, count = 0.0, 0
    for window in windows:
        with torch.no_grad():
            logits = reference(torch.tensor(window.astype(np.int64))[None]).logits[0]
        for position in range(23):
            target = int(window[position + 1])
            if target != 0:
                total -= float(logits[position, target] - torch.logsumexp(logits[position], 0))
                count += 1
    assert count == 7 * 23 + 4 + 0 + 22
    for nats, tokens in results:
        assert tokens == count
        assert nats == pytest.approx(total / count, rel=1e-6)


def test_a_uniform_model_has_log_v_and_keeps_its_mode(uniform_model: PreTrainedModel) -> None:
    uniform_model.train()
    nats, _ = cross_entropy(uniform_model, padded_windows(), 0)
    assert nats == pytest.approx(math.log(320), rel=1e-6)
    assert uniform_model.training


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((3, 8), dtype=np.int64), "3 windows of 8 tokens hold no token to predict"),
        (np.full((3, 1), 5), "hold no token to predict"),
        (np.zeros((0, 8), dtype=np.int64), "0 windows"),
        (np.full(8, 5), r"shape \(8,\)"),
        (np.full((2, 8), 5.0), "type float64"),
    ],
)
def test_windows_without_tokens_are_refused(windows: np.ndarray, message: str, uniform_model: PreTrainedModel) -> None:
    with pytest.raises(UserError, match=message):
        cross_entropy(uniform_model, windows, 0)


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


def test_one_token_that_starts_and_ends_texts_stands_once_between_them(tokenizer: PreTrainedTokenizerFast) -> None:
    both = copy.deepcopy(tokenizer)
    both.bos_token = both.eos_token
    ids = tokenise_text(both, ["a", "a"]).ids.tolist()
    assert (ids.count(both.eos_token_id), ids[0] == both.eos_token_id) == (2, False)


def test_texts_without_a_token_between_them_are_lines(tokenizer: PreTrainedTokenizerFast) -> None:
    neither = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    text = tokenise_text(neither, ["The cats", "ä"])
    assert tokenizer.decode(text.ids).replace("\n ", "\n").strip(" ") == "The cats\nä\n"
    assert (text.lines, text.bytes) == (2, len("The cats\nä\n".encode()))


def test_texts_that_cannot_be_measured(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="the text has 1 token, which leaves none to predict"):
        evaluate_text(model, TokenisedText(np.array([5]), 1, 1), 8)
    with pytest.raises(UserError, match="token id 320 but the model's vocabulary has 320"):
        evaluate_text(model, TokenisedText(np.array([5, 320]), 1, 1), 8)
    with pytest.raises(UserError, match="does not exist"):
        open_corpus(tmp_path / "nowhere")
