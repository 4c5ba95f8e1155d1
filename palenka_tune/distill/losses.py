"""The terms of the loss. All are means in nats per token or per dimension, so that none changes with batch or window.

`logit_loss` gives w * CE + alpha * KL from last hidden states and output heads, where KL stands for the divergence that
the targets measure. It walks over chunks of positions: matrix products make a chunk's logits; both terms and their
gradient by the logits are made of these block by block, so that a block stays in a processor's cache; products turn
that into the gradients by hidden states and head. No (B,T,V) tensor of student or teachers exists at any time.

Shapes: B windows, T tokens, N = B*T positions, C positions of a chunk, V vocabulary, D student width, R width of the
compared hidden states. `mask_BT` is True where a token is not padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from palenka_tune.distill.divergences import normalised
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.matmul import product
from palenka_tune.distill.targets import LogitTargets

# Logits of a chunk: many, since every chunk reads the whole head, and of so many positions at least, whatever the
# vocabulary. Logits of a block: on a CPU they stay in a core's cache.
CHUNK_ELEMENTS = {"cpu": 2**20, "cuda": 2**25}
BLOCK_ELEMENTS = {"cpu": 2**17, "cuda": 2**25}
FEWEST_IN_CHUNK, FEWEST_IN_BLOCK = 256, 2


@dataclass(frozen=True)
class LogitTerms:
    """`total` = ce_weight * ce + alpha * kl with its gradient; `ce` and `kl` (None: no teachers), detached; in nats."""

    total: Tensor
    ce: Tensor
    kl: Tensor | None


@dataclass(frozen=True)
class Summands:
    """What is summed. Per position: the next token, and the weights of its CE and of its KL in their means. Then the
    targets of the KL, the weights of both terms in the total, the temperature, and the type of matrix products."""

    next_N: Tensor
    ce_weight_N: Tensor
    kl_weight_N: Tensor
    targets: LogitTargets | None
    ce_weight: float
    alpha: float | Tensor
    temperature: float
    dtype: torch.dtype


# (logits of a chunk (C,V) in the type of matrix products, its positions, what is summed, whether a gradient is wanted)
# -> (sum of the CE, sum of the KL, gradient of the total by the logits (C,V) or None)
ChunkTerms = Callable[[Tensor, slice, Summands, bool], tuple[Tensor, Tensor, Tensor | None]]


def _positions(tokens_BT: Tensor, pad_id: int, reduction: str) -> tuple[Tensor, Tensor, Tensor]:
    """The first three of `Summands`."""
    next_BT = torch.full_like(tokens_BT, pad_id)
    next_BT[:, :-1] = tokens_BT[:, 1:]
    predicted_BT, mask_BT = next_BT != pad_id, tokens_BT != pad_id
    # a mean over at least one: a batch without targets is worth 0, not NaN
    ce = predicted_BT.float() / predicted_BT.sum().clamp_min(1)
    kl = mask_BT.float() / (mask_BT.sum().clamp_min(1) if reduction == "token" else tokens_BT.shape[0])
    # what is not predicted weighs nothing, and needs an index that exists
    return next_BT.clamp_min(0).flatten(), ce.flatten(), kl.flatten()


def logit_loss(
    hidden_BTD: Tensor,
    head: OutputHead,
    tokens_BT: Tensor,
    pad_id: int,
    targets: LogitTargets | None = None,
    *,
    ce_weight: float = 1.0,
    alpha: float | Tensor = 0.0,
    temperature: float = 1.0,
    reduction: str = "token",
    chunk_terms: ChunkTerms | None = None,
) -> LogitTerms:
    """ce_weight * CE + alpha * KL of a student whose last hidden states are `hidden_BTD`.

    CE is the mean next-token cross-entropy over the shifted positions that are not padding. KL is tau^2 times the
    divergence of `targets` at temperature tau, by default KL(teachers || student) (Hinton et al. 2015, section 2.1):
    with `token` its mean over positions, with `sequence` summed over a window's positions and averaged over windows
    (the poster's `batchmean`). `chunk_terms` makes the terms of a chunk in one's own way (None: block by block).
    """
    kind, hidden_ND = hidden_BTD.device.type, hidden_BTD.flatten(0, 1)
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    terms = Summands(*_positions(tokens_BT, pad_id, reduction), targets, ce_weight, alpha, temperature, dtype)
    chunk_terms = chunk_terms or by_blocks
    if torch.is_grad_enabled():
        total, ce, kl = _LogitLoss.apply(hidden_ND, head.weight, head.bias, terms, chunk_terms)
    else:
        total, ce, kl = _walk(hidden_ND, head, terms, chunk_terms, None)
    return LogitTerms(total, ce, None if targets is None else kl)


@dataclass
class _Gradients:
    """Of the total, by last hidden states and head, in float32."""

    hidden_ND: Tensor
    weight_VD: Tensor
    bias_V: Tensor | None


class _LogitLoss(torch.autograd.Function):
    """The forward pass makes the gradient too, while it has a chunk's logits; backward only scales it."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        terms: Summands,
        chunk_terms: ChunkTerms,
    ) -> tuple[Tensor, Tensor, Tensor]:
        gradients = _Gradients(
            torch.empty_like(hidden_ND, dtype=torch.float32),
            torch.zeros_like(weight_VD, dtype=torch.float32),
            None if bias_V is None else torch.zeros_like(bias_V, dtype=torch.float32),
        )
        total, ce, kl = _walk(hidden_ND, OutputHead(weight_VD, bias_V), terms, chunk_terms, gradients)
        ctx.gradients, ctx.hidden_dtype = gradients, hidden_ND.dtype
        ctx.mark_non_differentiable(ce, kl)
        return total, ce, kl

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        made, ctx.gradients = ctx.gradients, None  # scaled in place, since the head's is the largest tensor here
        if made is None:
            raise RuntimeError("the gradient of a logit loss can be taken once; call logit_loss again")
        hidden = made.hidden_ND.mul_(upstream[0]).to(ctx.hidden_dtype)
        bias = None if made.bias_V is None else made.bias_V.mul_(upstream[0])
        return hidden, made.weight_VD.mul_(upstream[0]), bias, None, None


def _walk(
    hidden_ND: Tensor, head: OutputHead, terms: Summands, chunk_terms: ChunkTerms, gradients: _Gradients | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Total, CE and KL over all chunks; fills `gradients` if they are wanted."""
    device, dtype = hidden_ND.device, terms.dtype
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        weight, bias = head.at(dtype)
        hidden = hidden_ND.to(dtype)
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        for rows in _slices(0, len(hidden), _rows(CHUNK_ELEMENTS, FEWEST_IN_CHUNK, device, len(weight))):
            z_CV = product(hidden[rows], weight, bias)
            ce, kl, by_logits_CV = chunk_terms(z_CV, rows, terms, gradients is not None)
            sums[0] += ce
            sums[1] += kl
            if gradients is not None and by_logits_CV is not None:
                _accumulate(gradients, rows, by_logits_CV, hidden[rows], weight, dtype)
        ce, kl = sums.float().unbind()
        return terms.ce_weight * ce + terms.alpha * kl, ce, kl


def by_blocks(z_CV: Tensor, rows: slice, terms: Summands, wanted: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """The terms of a chunk, made block by block; the gradient takes the place of the logits. A `ChunkTerms`."""
    z_CV, targets, device = z_CV.float(), terms.targets, z_CV.device
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    prepared = [] if targets is None else targets.prepare(rows, terms.dtype)
    for block in _slices(rows.start, rows.stop, _rows(BLOCK_ELEMENTS, FEWEST_IN_BLOCK, device, z_CV.shape[1])):
        part = slice(block.start - rows.start, block.stop - rows.start)
        z_block_CV, next_C1 = z_CV[part], terms.next_N[block, None]
        ce_weight_C = terms.ce_weight_N[block]
        gradient_CV, log_sum_C = normalised(z_block_CV)
        sums[0] += torch.dot(log_sum_C - z_block_CV.gather(1, next_C1).squeeze(1), ce_weight_C)
        if wanted:
            by_ce_C1 = ce_weight_C[:, None] * terms.ce_weight
            gradient_CV.mul_(by_ce_C1).scatter_add_(1, next_C1, -by_ce_C1)
        if targets is not None:
            kl_weight_C = terms.kl_weight_N[block] * terms.temperature
            z_block_CV.mul_(1 / terms.temperature)
            kl_C, difference_CV = targets.compare(block, [tensor[part] for tensor in prepared], z_block_CV)
            sums[1] += torch.dot(kl_C, kl_weight_C) * terms.temperature
            if wanted:
                gradient_CV.addcmul_(difference_CV, (kl_weight_C * terms.alpha)[:, None])
        if wanted:
            z_block_CV.copy_(gradient_CV)
    return sums[0], sums[1], z_CV if wanted else None


def _rows(elements: dict[str, int], fewest: int, device: torch.device, vocabulary: int) -> int:
    """Positions whose logits have so many elements, or the fewest."""
    return max(fewest, elements.get(device.type, elements["cpu"]) // vocabulary)


def _slices(start: int, stop: int, size: int) -> Iterator[slice]:
    return (slice(at, min(at + size, stop)) for at in range(start, stop, size))


def _accumulate(
    gradients: _Gradients, rows: slice, by_logits_CV: Tensor, hidden_CD: Tensor, weight_VD: Tensor, dtype: torch.dtype
) -> None:
    if gradients.bias_V is not None:
        gradients.bias_V.add_(by_logits_CV.sum(0))
    narrow_CV = by_logits_CV.to(dtype)
    gradients.hidden_ND[rows] = product(narrow_CV, weight_VD.T)
    gradients.weight_VD.add_(product(narrow_CV.T, hidden_CD.T))


def hidden_distance(prediction_BTR: Tensor, target_BTR: Tensor, mask_BT: Tensor, distance: str = "mse") -> Tensor:
    """Mean over positions of the mean squared difference over dimensions, or of 1 - cosine similarity."""
    prediction, target = prediction_BTR.float(), target_BTR.float()
    if distance == "mse":
        each_BT = (prediction - target).square().mean(-1)
    else:
        each_BT = 1.0 - F.cosine_similarity(prediction, target, dim=-1)
    return (each_BT * mask_BT).sum() / mask_BT.sum()
