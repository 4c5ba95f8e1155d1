"""The terms of a chunk of logits in few operations: what `losses.by_blocks` does, for `torch.compile` to fuse.

Weights and temperature are tensors, so that one compiled function serves every trial. All teachers' logits come from
one product of their hidden states, laid side by side, with their heads. What has no fused form goes by blocks.

Shapes: C positions of a chunk, V vocabulary, K samples, E the teachers' widths together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from palenka_tune.distill.losses import Summands, by_blocks
from palenka_tune.distill.static.compiling import compiled
from palenka_tune.distill.targets import ExactTargets, HeadLogits, SampledTargets


class FusedTerms:
    """A `losses.ChunkTerms` for the steps of one training; the teachers' heads are laid side by side once."""

    def __init__(self) -> None:
        self._heads: dict[tuple[int, ...], tuple[Tensor, Tensor | None]] = {}

    def __call__(
        self, z_CV: Tensor, rows: slice, terms: Summands, wanted: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """See `losses.ChunkTerms`."""
        targets = terms.targets
        next_C, ce_C, kl_C = terms.next_N[rows], terms.ce_weight_N[rows], terms.kl_weight_N[rows]
        ce_weight, alpha, temperature = (
            _scalar(value, z_CV) for value in (terms.ce_weight, terms.alpha, terms.temperature)
        )
        if not wanted:
            return by_blocks(z_CV, rows, terms, wanted)
        if targets is None:
            ce, gradient_CV = _plain(z_CV, next_C, ce_C, ce_weight)
            return ce, torch.zeros_like(ce), gradient_CV
        if isinstance(targets, SampledTargets):
            ids_CK, entropy_C = targets.ids_NK[rows], targets.entropy_N[rows]
            ce, kl, gradient_CV, share_C = _sampled(
                z_CV, ids_CK, entropy_C, next_C, ce_C, kl_C, ce_weight, alpha, temperature
            )
            # what is added to one place is all equal, so that its order does not matter
            gradient_CV.scatter_add_(1, ids_CK, share_C[:, None].expand_as(ids_CK))
            return ce, kl, gradient_CV.to(z_CV.dtype)
        if isinstance(targets, ExactTargets) and _has_fused_form(targets):
            teachers_CV = self._logits(targets, rows, z_CV.dtype)
            return _exact(z_CV, teachers_CV, next_C, ce_C, kl_C, ce_weight, alpha, temperature)
        return by_blocks(z_CV, rows, terms, wanted)

    def _logits(self, targets: ExactTargets, rows: slice, dtype: torch.dtype) -> Tensor:
        """The mean of the teachers' logits over the temperature, by one product."""
        scales = [weight / targets.request.temperature for weight in targets.request.weights]
        each = [(teacher, scale) for teacher, scale in zip(targets.teachers, scales, strict=True) if scale > 0]
        hidden_CE = torch.cat([teacher.hidden_NE[rows].to(dtype) * scale for teacher, scale in each], 1)  # type: ignore[attr-defined]
        heads = [teacher.head for teacher, _ in each]  # type: ignore[attr-defined]
        key = tuple(id(head) for head in heads)
        if key not in self._heads:
            biases = [head.bias * scale for head, (_, scale) in zip(heads, each, strict=True) if head.bias is not None]
            bias_V = sum(biases[1:], biases[0]).to(dtype) if biases else None
            self._heads[key] = torch.cat([head.weight for head in heads], 1).to(dtype), bias_V
        return F.linear(hidden_CE, *self._heads[key])


def _has_fused_form(targets: ExactTargets) -> bool:
    request = targets.request
    return (
        request.ensemble == "logits"
        and request.divergence == "forward_kl"
        and all(isinstance(teacher, HeadLogits) for teacher in targets.teachers)
    )


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """A tensor (0-dim) that no copy from the host makes."""
    return value if isinstance(value, Tensor) else torch.full((), float(value), device=like.device)


def _cross_entropy(z_CV: Tensor, next_C: Tensor, ce_C: Tensor, ce_weight: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the CE, and its gradient by the logits: p - one_hot(next), without a scatter."""
    log_p_CV = torch.log_softmax(z_CV, -1)
    ce = -(log_p_CV.gather(1, next_C[:, None]).squeeze(1) * ce_C).sum()
    one_hot_CV = (torch.arange(z_CV.shape[1], device=z_CV.device) == next_C[:, None]).to(z_CV.dtype)
    return ce, (log_p_CV.exp() - one_hot_CV) * (ce_C * ce_weight)[:, None]


@compiled
def _plain(z_CV: Tensor, next_C: Tensor, ce_C: Tensor, ce_weight: Tensor) -> tuple[Tensor, Tensor]:
    ce, gradient_CV = _cross_entropy(z_CV.float(), next_C, ce_C, ce_weight)
    return ce, gradient_CV.to(z_CV.dtype)


@compiled
def _exact(
    z_CV: Tensor,
    teachers_CV: Tensor,
    next_C: Tensor,
    ce_C: Tensor,
    kl_C: Tensor,
    ce_weight: Tensor,
    alpha: Tensor,
    temperature: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    z = z_CV.float()
    ce, gradient_CV = _cross_entropy(z, next_C, ce_C, ce_weight)
    log_s_CV, log_q_CV = torch.log_softmax(z / temperature, -1), torch.log_softmax(teachers_CV.float(), -1)
    q_CV = log_q_CV.exp()
    kl = ((q_CV * (log_q_CV - log_s_CV)).sum(-1) * kl_C).sum() * temperature.square()
    gradient_CV = gradient_CV + (log_s_CV.exp() - q_CV) * (kl_C * temperature * alpha)[:, None]
    return ce, kl, gradient_CV.to(z_CV.dtype)


@compiled
def _sampled(
    z_CV: Tensor,
    ids_CK: Tensor,
    entropy_C: Tensor,
    next_C: Tensor,
    ce_C: Tensor,
    kl_C: Tensor,
    ce_weight: Tensor,
    alpha: Tensor,
    temperature: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """CE, KL, the gradient (C,V) in float32 without what the samples add to it, and what each adds (C,)."""
    z = z_CV.float()
    ce, gradient_CV = _cross_entropy(z, next_C, ce_C, ce_weight)
    log_s_CV = torch.log_softmax(z / temperature, -1)
    kl_each_C = -entropy_C - log_s_CV.gather(1, ids_CK).mean(1)
    by_kl_C = kl_C * temperature * alpha
    gradient_CV = gradient_CV + log_s_CV.exp() * by_kl_C[:, None]
    return ce, (kl_each_C * kl_C).sum() * temperature.square(), gradient_CV, -by_kl_C / ids_CK.shape[1]
