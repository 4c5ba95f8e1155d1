"""Perplexity on the text of a corpus: nats per token as `val/ce` has them, and bits per byte.

In: a model with its tokenizer, the cleaned lines of a split, the training window T. Out: a `TextResult`.

Lines become `<s> ids </s>`, are concatenated and cut into windows of T tokens, as in the token store; the last window
is shorter. Within a window every token but the first is predicted, so *nats per token* is what training measures as
`val/ce` on the whole split. It depends on the tokenizer; *bits per byte* can be compared across tokenizers: the mean
nats of a predicted token times all tokens of the split (so that the unpredicted first ones count as average), over ln 2
and the bytes of the cleaned lines in UTF-8, one more a line for its end.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.errors import UserError
from palenka_tune.evaluation.perplexity import cross_entropy
from palenka_tune.models.folder import NOTE

DEFAULT_WINDOW = 128
_LINES_PER_BATCH = 4096
_NO_PADDING = -1


@dataclass(frozen=True)
class TokenisedText:
    """A split under one tokenizer: its `ids`, lines between `<s>` and `</s>`, and what it measures."""

    ids: np.ndarray
    lines: int
    bytes: int


@dataclass(frozen=True)
class TextResult:
    """One model on one split; `predicted` of its `tokens` were predicted, in windows of `window` tokens."""

    nats_per_token: float
    bits_per_byte: float
    perplexity: float
    tokens: int
    predicted: int
    bytes: int
    lines: int
    window: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def tokenise_text(tokenizer: PreTrainedTokenizerFast, lines: Iterable[str]) -> TokenisedText:
    """Encode cleaned lines as for training; text that spells a special token is encoded as the characters it is.

    Raises:
        UserError: if the tokenizer lacks a start or end token.
    """
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if start is None or end is None:
        raise UserError("the tokenizer has no start or no end token (bos_token, eos_token); lines stand between them")
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    spelled, backend.encode_special_tokens = backend.encode_special_tokens, True
    ids, count, size = array("q"), 0, 0
    try:
        for batch in _batches(lines):
            for line, encoding in zip(batch, backend.encode_batch_fast(batch, add_special_tokens=False), strict=True):
                ids.append(start)
                ids.extend(encoding.ids)
                ids.append(end)
                size += len(line.encode()) + 1
            count += len(batch)
    finally:
        backend.encode_special_tokens = spelled
    return TokenisedText(np.array(ids, dtype=np.int64), count, size)


def evaluate_text(model: PreTrainedModel, text: TokenisedText, window: int) -> TextResult:
    """Measure `model`, where it is, on windows of `window` tokens.

    Raises:
        UserError: for a window longer than the model's positions, a tokenizer that is not the model's, or a text of
            fewer than two tokens.
    """
    highest, size = int(text.ids.max(initial=0)), int(model.config.vocab_size)
    if highest >= size:
        raise UserError(
            f"the tokenizer gives token id {highest} but the model's vocabulary has {size} tokens; evaluate a model "
            "with the tokenizer that it was trained with"
        )
    whole = len(text.ids) // window
    parts = (text.ids[: whole * window].reshape(whole, window), text.ids[None, whole * window :])
    nats, predicted = 0.0, 0
    for windows in parts:
        if len(windows) and windows.shape[1] > 1:
            mean, tokens = cross_entropy(model, windows, _NO_PADDING)
            nats, predicted = nats + mean * tokens, predicted + tokens
    if not predicted:
        raise UserError(f"the text has {len(text.ids)} tokens, which leaves none to predict; give a longer one")
    per_token = nats / predicted
    return TextResult(
        nats_per_token=per_token,
        bits_per_byte=per_token * len(text.ids) / (math.log(2) * text.bytes),
        perplexity=math.exp(min(per_token, 700.0)),
        tokens=len(text.ids),
        predicted=predicted,
        bytes=text.bytes,
        lines=text.lines,
        window=window,
    )


def training_window(model: PreTrainedModel) -> int:
    """The window that `model` was trained on, as its export says; older exports: 128, or its positions if fewer."""
    noted = getattr(model.config, NOTE, None)
    window = noted.get("window") if isinstance(noted, dict) else None
    positions = int(model.config.max_position_embeddings)
    return min(int(window) if isinstance(window, int) and window > 1 else DEFAULT_WINDOW, positions)


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(lines)
    while batch := list(islice(iterator, _LINES_PER_BATCH)):
        yield batch
