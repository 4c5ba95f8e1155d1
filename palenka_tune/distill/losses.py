"""The three terms of the loss, each a plain function of tensors.

Shapes: B windows, T tokens, V vocabulary, R width of the compared hidden states. `mask_BT` is True where a token is not
padding. All terms are means in nats per token or per dimension, so that none changes with the batch or the window.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_BTV: Tensor, tokens_BT: Tensor, pad_id: int) -> Tensor:
    """Mean next-token cross-entropy in nats per token over the shifted positions that are not padding."""
    # float(): under autocast the logits are half precision, and the sum over V must not be
    logits = logits_BTV[:, :-1].flatten(0, 1).float()
    targets = tokens_BT[:, 1:].flatten()
    # a sum over at least one: a batch without targets is worth 0, not NaN
    return F.cross_entropy(logits, targets, ignore_index=pad_id, reduction="sum") / (targets != pad_id).sum().clamp_min(
        1
    )


def teacher_log_probs(
    logits: list[Tensor], weights: list[float], temperature: float, ensemble: str = "logits"
) -> Tensor:
    """Log-probabilities (B,T,V) of the teachers' ensemble at `temperature`.

    `logits` averages in logit space, softmax(sum_k w_k z_k / tau), as the poster does; `probabilities` averages
    softmaxes, sum_k w_k softmax(z_k / tau).
    """
    if ensemble == "logits":
        mean = sum(weight * z.float() for weight, z in zip(weights, logits, strict=True))
        return F.log_softmax(torch.as_tensor(mean) / temperature, dim=-1)
    each = [
        F.log_softmax(z.float() / temperature, dim=-1) + math.log(weight)
        for weight, z in zip(weights, logits, strict=True)
        if weight > 0
    ]
    return torch.logsumexp(torch.stack(each), dim=0)


def kl_divergence(
    student_BTV: Tensor, teacher_log_BTV: Tensor, mask_BT: Tensor, temperature: float, reduction: str = "token"
) -> Tensor:
    """tau^2 * KL(teachers || student) at temperature tau (Hinton et al. 2015, eq. 1 and section 2.1).

    `token` is the mean over positions in nats per token; `sequence` sums over a window's positions and averages over
    windows (`batchmean` of the poster), which is T times `token` for full windows.
    """
    student_log = F.log_softmax(student_BTV.float() / temperature, dim=-1)
    kl_BT = (teacher_log_BTV.exp() * (teacher_log_BTV - student_log)).sum(-1)
    total = temperature**2 * (kl_BT * mask_BT).sum()
    return total / (mask_BT.sum() if reduction == "token" else mask_BT.shape[0])


def hidden_distance(prediction_BTR: Tensor, target_BTR: Tensor, mask_BT: Tensor, distance: str = "mse") -> Tensor:
    """Mean over positions of the mean squared difference over dimensions, or of 1 - cosine similarity."""
    prediction, target = prediction_BTR.float(), target_BTR.float()
    if distance == "mse":
        each_BT = (prediction - target).square().mean(-1)
    else:
        each_BT = 1.0 - F.cosine_similarity(prediction, target, dim=-1)
    return (each_BT * mask_BT).sum() / mask_BT.sum()
