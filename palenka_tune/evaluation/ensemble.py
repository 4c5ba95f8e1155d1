"""Cross-entropy of several models together: of each, of their averaged logits, of their averaged probabilities.

Averaged logits are a product of experts, softmax(sum_k w_k z_k); averaged probabilities a mixture, sum_k w_k
softmax(z_k).

Shapes: N windows, B of them at a time, T tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from palenka_tune.errors import UserError
from palenka_tune.evaluation.perplexity import bounded_batch
from palenka_tune.evaluation.scoring import evaluating


@dataclass(frozen=True)
class EnsembleResult:
    """Mean next-token cross-entropies in nats per token: of each model, and of the ensemble in both ways."""

    models: tuple[float, ...]
    logit_average: float
    probability_average: float


def ensemble_cross_entropy(
    models: Sequence[PreTrainedModel],
    windows: np.ndarray,
    pad_id: int,
    weights: Sequence[float] | None = None,
    *,
    batch: int = 16,
) -> EnsembleResult:
    """Measure `models`, which share a vocabulary, on `windows` (N, T), position by position as
    `perplexity.cross_entropy` does. `weights` sum to 1 (None: equal).

    Raises:
        UserError: if there is no model, or the windows hold no token to predict.
    """
    if not models:
        raise UserError("an ensemble of no models has no cross-entropy; give at least one")
    shares = list(weights or [1 / len(models)] * len(models))
    tokens = int((windows[:, 1:] != pad_id).sum())
    if not tokens:
        raise UserError(f"{len(windows)} windows of {windows.shape[1]} tokens hold no token to predict")
    sums = torch.zeros(len(models) + 2, dtype=torch.float64)
    batch = bounded_batch(batch, windows.shape[1], int(models[0].config.vocab_size))
    with contextlib.ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        for start in range(0, len(windows), batch):
            ids_BT = torch.from_numpy(windows[start : start + batch].astype(np.int64)).to(models[0].device)
            targets_N = ids_BT[:, 1:].flatten()
            real_N = targets_N != pad_id
            average_NV: Tensor | None = None
            mixture_N = None
            for number, (model, share) in enumerate(zip(models, shares, strict=True)):
                logits_NV = model(input_ids=ids_BT[:, :-1], use_cache=False).logits.float().flatten(0, 1)[real_N]
                own_N = _log_probability(logits_NV, targets_N[real_N])
                sums[number] -= own_N.double().sum().cpu()
                weighted_N = own_N + (math.log(share) if share else -math.inf)
                mixture_N = weighted_N if mixture_N is None else torch.logaddexp(mixture_N, weighted_N)
                average_NV = share * logits_NV if average_NV is None else average_NV.add_(logits_NV, alpha=share)
            assert average_NV is not None
            assert mixture_N is not None
            sums[-2] -= _log_probability(average_NV, targets_N[real_N]).double().sum().cpu()
            sums[-1] -= mixture_N.double().sum().cpu()
    means = (sums / tokens).tolist()
    return EnsembleResult(tuple(means[:-2]), means[-2], means[-1])


def _log_probability(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """Log-probabilities (N,) of the targets."""
    return -torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
