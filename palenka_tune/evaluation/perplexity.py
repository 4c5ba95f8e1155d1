"""Cross-entropy of a causal language model: on windows of tokens, which is `val/ce`, and on the text of a corpus.

The texts of a split (lines, paragraphs or documents) become `<s> ids </s>`, are concatenated and cut into windows of T
tokens, as in the token store; the last window is shorter. Within a window every token but the first is predicted, so
*nats per token* is what training measures as `val/ce` on the whole split. It depends on the tokenizer; *bits per byte*
can be compared across tokenizers: the mean nats of a predicted token times all tokens of the split (so that the
unpredicted first ones count as average), over ln 2 and the bytes of the cleaned texts in UTF-8, one more a text for its
end.

Shapes: N windows, B of them at a time, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.data.corpus import Corpus
from palenka_tune.data.store import batches
from palenka_tune.data.texts import Unit
from palenka_tune.errors import UserError
from palenka_tune.evaluation.encoding import check_vocabulary, encode, start_token
from palenka_tune.evaluation.results import MEASURED, TextResult
from palenka_tune.evaluation.scoring import evaluating
from palenka_tune.models.folder import NOTE
from palenka_tune.models.given import position_limit
from palenka_tune.words import perplexity, plural

DEFAULT_WINDOW = 128
_NO_PADDING = -1
MOST_LOGITS = 2**27  # float32 numbers of a batch


def cross_entropy(model: PreTrainedModel, windows: np.ndarray, pad_id: int, *, batch: int = 32) -> tuple[float, int]:
    """Mean next-token cross-entropy in nats per token over `windows` (N, T), and the number of predicted tokens.

    Position t predicts token t + 1, so a window gives T - 1 tokens; padding is never predicted. Each token weighs the
    same whatever its window or batch. The softmax is taken in float32, sums in float64, on the model's device, `batch`
    windows at a time.

    Raises:
        UserError: if the windows are not a (N, T) array of ids or hold no token to predict.
    """
    if windows.ndim != 2 or not np.issubdtype(windows.dtype, np.integer):
        raise UserError(
            f"windows have shape {windows.shape} and type {windows.dtype}; give an integer array (windows, tokens)"
        )
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    batch = bounded_batch(batch, windows.shape[1], int(model.config.vocab_size))
    tokens = int((windows[:, 1:] != pad_id).sum())
    if not tokens:
        raise UserError(f"{len(windows)} windows of {windows.shape[1]} tokens hold no token to predict")
    with evaluating(model):
        for start in range(0, len(windows), batch):
            ids_BT = torch.from_numpy(windows[start : start + batch].astype(np.int64)).to(model.device)
            logits_BTV = model(input_ids=ids_BT[:, :-1], use_cache=False).logits
            losses = torch.nn.functional.cross_entropy(
                logits_BTV.float().flatten(0, 1), ids_BT[:, 1:].flatten(), ignore_index=pad_id, reduction="none"
            )
            total += losses.double().sum()
    return float(total) / tokens, tokens


def bounded_batch(batch: int, window: int, vocabulary: int) -> int:
    """As many windows, at most `batch`, as have logits of at most half a gigabyte."""
    return max(1, min(batch, MOST_LOGITS // (window * vocabulary)))


@dataclass(frozen=True)
class TokenisedText:
    """A split under one tokenizer: its `ids`, texts between `<s>` and `</s>`, and what it measures."""

    ids: np.ndarray
    lines: int
    bytes: int
    unit: Unit = "line"


def tokenise_text(tokenizer: PreTrainedTokenizerFast, lines: Iterable[str], unit: Unit = "line") -> TokenisedText:
    """Encode cleaned texts, each a `unit`, as for training; text that spells a special token is encoded as the
    characters it is.

    A tokenizer without start and end token has its separator between texts, or, without one, a new line.
    """
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if start == end:  # one token that is both, as GPT-2's, stands once between two texts
        start = None
    if start is None and end is None:
        end = start_token(tokenizer)
        if end is None:
            lines = (f"{line}\n" for line in lines)
    before, after = ([] if each is None else [each] for each in (start, end))
    backend = tokenizer.backend_tokenizer
    spelled, backend.encode_special_tokens = backend.encode_special_tokens, True
    ids, count, size = array("q"), 0, 0
    try:
        for batch in batches(lines):
            for line, line_ids in zip(batch, encode(tokenizer, batch), strict=True):
                ids.extend((*before, *line_ids, *after))
                size += len(line.removesuffix("\n").encode()) + 1
            count += len(batch)
    finally:
        backend.encode_special_tokens = spelled
    return TokenisedText(np.array(ids, dtype=np.int64), count, size, unit)


def tokenise_corpus(
    tokenizer: PreTrainedTokenizerFast, corpus: Corpus, unit: Unit = "line"
) -> dict[str, TokenisedText]:
    """The splits of a corpus that models are measured on: dev, and test if there is one."""
    splits = [split for split in MEASURED if split in corpus.splits]
    return {split: tokenise_text(tokenizer, corpus.texts(split, unit), unit) for split in splits}


def evaluate_text(model: PreTrainedModel, text: TokenisedText, window: int) -> TextResult:
    """Measure `model`, where it is, on windows of `window` tokens.

    Raises:
        UserError: for a tokenizer that is not the model's, or a text of fewer than two tokens.
    """
    check_vocabulary(model, int(text.ids.max(initial=0)))
    whole = len(text.ids) // window
    parts = (text.ids[: whole * window].reshape(whole, window), text.ids[None, whole * window :])
    nats, predicted = 0.0, 0
    for windows in parts:
        if len(windows) and windows.shape[1] > 1:
            mean, tokens = cross_entropy(model, windows, _NO_PADDING)
            nats, predicted = nats + mean * tokens, predicted + tokens
    if not predicted:
        raise UserError(
            f"the text has {plural(len(text.ids), 'token')}, which leaves none to predict; give a longer one"
        )
    per_token = nats / predicted
    return TextResult(
        nats_per_token=per_token,
        bits_per_byte=per_token * len(text.ids) / (math.log(2) * text.bytes),
        perplexity=perplexity(per_token),
        tokens=len(text.ids),
        predicted=predicted,
        bytes=text.bytes,
        lines=text.lines,
        window=window,
        unit=text.unit,
    )


def training_window(model: PreTrainedModel) -> int:
    """The window that `model` was trained on, as its export says; others: 128, or its positions if fewer."""
    window = _noted(model, "window")
    limit = position_limit(model.config.to_dict())
    window = int(window) if isinstance(window, int) and window > 1 else DEFAULT_WINDOW
    return window if limit is None else min(window, limit)


def training_unit(model: PreTrainedModel) -> Unit:
    """What one text was when `model` was trained, as its export says; others: a line."""
    unit = _noted(model, "unit")
    return unit if unit in get_args(Unit) else "line"


def _noted(model: PreTrainedModel, name: str) -> Any:
    noted = getattr(model.config, NOTE, None)
    return noted.get(name) if isinstance(noted, dict) else None
