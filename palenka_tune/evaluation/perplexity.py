"""Cross-entropy of a causal language model on fixed windows of tokens: the product's objective, `val/ce`.

In: a model and windows of token ids, padded on the right. Out: mean nats per token and how many tokens were predicted;
perplexity is exp of it. Shapes: N windows, B of them at a time, T tokens, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from palenka_tune.errors import UserError
from palenka_tune.evaluation.scoring import evaluating


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
