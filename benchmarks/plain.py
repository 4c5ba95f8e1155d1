"""The loss as it is written in a paper, on whole (B,T,V) tensors: what the product's chunked loss is measured against.

    w * CE + alpha * tau^2 * KL(softmax(mean_k z_k / tau) || softmax(z / tau)),   nats per token

Shapes: B windows, T tokens, V vocabulary.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def teacher_log_probs(logits: list[Tensor], weights: list[float], temperature: float, ensemble: str) -> Tensor:
    """Log-probabilities (B,T,V) of the teachers' ensemble, averaged as logits or as probabilities."""
    if ensemble == "logits":
        mean = torch.stack([weight * z for weight, z in zip(weights, logits, strict=True)]).sum(0)
        return F.log_softmax(mean / temperature, dim=-1)
    each = [
        F.log_softmax(z / temperature, dim=-1) + math.log(weight) for weight, z in zip(weights, logits, strict=True)
    ]
    return torch.logsumexp(torch.stack(each), dim=0)


def plain_loss(
    student_BTV: Tensor,
    tokens_BT: Tensor,
    pad_id: int,
    teachers: list[Tensor],
    weights: list[float],
    *,
    alpha: float,
    temperature: float,
    ensemble: str = "logits",
    reduction: str = "token",
    ce_weight: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """(total, CE, KL) with gradients by autograd."""
    ce = F.cross_entropy(student_BTV[:, :-1].flatten(0, 1), tokens_BT[:, 1:].flatten(), ignore_index=pad_id)
    teacher_log = teacher_log_probs(teachers, weights, temperature, ensemble)
    student_log = F.log_softmax(student_BTV / temperature, dim=-1)
    kl_BT = (teacher_log.exp() * (teacher_log - student_log)).sum(-1)
    mask_BT = tokens_BT != pad_id
    count = mask_BT.sum() if reduction == "token" else len(tokens_BT)
    kl = temperature**2 * (kl_BT * mask_BT).sum() / count
    return ce_weight * ce + alpha * kl, ce, kl
