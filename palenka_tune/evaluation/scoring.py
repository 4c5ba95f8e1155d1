"""Log-probabilities of whole sentences under a causal language model, in batches of like length.

In: a model and tokenised sentences. Out: for each, sum_t log p(x_t | <s>, x_1 ... x_{t-1}) in nats: every token of the
sentence counts, the start token is given, and no end token is asked for.

Sentences are sorted by length and padded on the right to the longest of their batch. Attention is causal, so no
position of a sentence sees its padding and no attention mask is needed. The softmax is taken in float32, the sum over
tokens in float64.

Shapes: B sentences, T tokens of the longest, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from palenka_tune.errors import PalenkaError

_LOGIT_BYTES = {"cuda": 2**30, "cpu": 2**23}  # a batch's logits: much for a GPU, within the caches of a CPU


def default_batch_tokens(model: PreTrainedModel) -> int:
    """Tokens per batch whose float32 logits fill 1 GiB on a GPU and 8 MiB elsewhere, at least 256."""
    budget = _LOGIT_BYTES.get(model.device.type, _LOGIT_BYTES["cpu"])
    return max(256, budget // (4 * int(model.config.vocab_size)))


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without autograd; the model's own mode comes back at the end."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def score_sentences(
    model: PreTrainedModel,
    sentences: Sequence[Sequence[int]],
    *,
    bos_id: int,
    pad_id: int = 0,
    batch_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Summed log-probabilities (N,) float64, in nats, of N sentences given as token ids without special tokens.

    A batch holds at most `batch_tokens` tokens (None: `default_batch_tokens`), but always one sentence. `progress` is
    called with (sentences done, N) after each batch.

    Raises:
        PalenkaError: if a score is not finite, which means that the model is broken (for instance diverged to NaN).
    """
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")  # the largest batch first: too little memory shows at once
    lengths = lengths[order]
    tokens = np.fromiter((token for row in order for token in sentences[row]), dtype=np.int64, count=lengths.sum())
    ends = np.cumsum(lengths)
    budget = default_batch_tokens(model) if batch_tokens is None else batch_tokens
    scores = torch.zeros(len(sentences), dtype=torch.float64, device=model.device)
    with evaluating(model):
        start = 0
        while start < len(lengths) and lengths[start]:
            stop = min(len(lengths), start + max(1, budget // int(lengths[start])))
            ids_BT, real_BT = _pad(tokens, lengths[start:stop], int(ends[start] - lengths[start]), bos_id, pad_id)
            scores[start:stop] = _log_probabilities(model, ids_BT.to(model.device), real_BT.to(model.device))
            start = stop
            if progress is not None:
                progress(start, len(sentences))
    result = np.empty(len(sentences), dtype=np.float64)
    result[order] = scores.cpu().numpy()
    if not np.isfinite(result).all():
        raise PalenkaError(
            f"{int((~np.isfinite(result)).sum())} of {len(result)} sentences have a log-probability that is not a "
            "finite number; the model's weights are broken, train it again with a lower learning rate"
        )
    return result


def _pad(tokens: np.ndarray, lengths: np.ndarray, first: int, bos_id: int, pad_id: int) -> tuple[torch.Tensor, ...]:
    """Rows of `<s> sentence padding` (B, 1 + T), and which of the T sentence positions are real."""
    longest = int(lengths[0])
    real = np.arange(longest) < lengths[:, None]
    ids = np.full((len(lengths), 1 + longest), pad_id, dtype=np.int64)
    ids[:, 0] = bos_id
    ids[:, 1:][real] = tokens[first : first + int(lengths.sum())]
    return torch.from_numpy(ids), torch.from_numpy(real)


def _log_probabilities(model: PreTrainedModel, ids_BT: torch.Tensor, real_BT: torch.Tensor) -> torch.Tensor:
    """Sum over real positions of the next token's log-probability: (B,) float64."""
    logits_BTV = model(input_ids=ids_BT[:, :-1], use_cache=False).logits
    log_p_BTV = torch.log_softmax(logits_BTV, dim=-1, dtype=torch.float32)
    log_p_BT = log_p_BTV.gather(-1, ids_BT[:, 1:, None]).squeeze(-1)
    return log_p_BT.double().masked_fill(~real_BT, 0.0).sum(-1)
