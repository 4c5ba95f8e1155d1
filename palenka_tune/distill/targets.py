"""What the student's logits are pulled towards: the teachers' next-token distributions, position by position.

The loss walks over chunks of positions and asks `LogitTargets.compare` for each chunk, so that no (B,T,V) tensor of the
teachers ever exists. `ExactTargets` have every probability, from output heads applied to last hidden states or from
kept logits; `SampledTargets` have a few token ids drawn from the distribution.

Shapes: N positions (windows laid end to end), C positions of a chunk, V vocabulary, E a teacher's width, K samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.matmul import product


@dataclass(frozen=True)
class LogitRequest:
    """Which distribution is wanted: the teachers' `weights` (summing to 1), the temperature, and what is averaged:
    `logits`, softmax(sum_k w_k z_k / tau), as the poster does, or `probabilities`, sum_k w_k softmax(z_k / tau)."""

    weights: tuple[float, ...]
    temperature: float
    ensemble: str = "logits"


class LogitTargets(Protocol):
    """The teachers' distribution q at the temperature of the request, for N positions."""

    def compare(self, rows: slice, log_p_CV: Tensor, dtype: torch.dtype) -> Tensor:
        """KL(q || p) in nats for the positions `rows`: (C,), where `log_p_CV` is the student's log-softmax at the same
        temperature. `log_p_CV` is overwritten with p - q, the gradient of that KL by the logits over the temperature.
        `dtype` is that of matrix products."""
        ...


class TeacherLogits(Protocol):
    """One teacher's logits, up to a constant per position."""

    def write(self, out_CV: Tensor, rows: slice, scale: float, add: bool, dtype: torch.dtype) -> None:
        """Write, or add, `scale` times the logits of `rows` to `out_CV` (float32)."""
        ...


@dataclass(frozen=True)
class HeadLogits:
    """Logits as an output head applied to last hidden states (N,E): exact, and V/E times smaller than logits."""

    hidden_NE: Tensor
    head: OutputHead

    def write(self, out_CV: Tensor, rows: slice, scale: float, add: bool, dtype: torch.dtype) -> None:
        weight, bias = self.head.at(dtype)
        logits_CV = product(self.hidden_NE[rows].to(dtype) * scale, weight)
        if add:
            out_CV.add_(logits_CV)
        else:
            out_CV.copy_(logits_CV)
        if bias is not None:
            out_CV.add_(bias, alpha=scale)


@dataclass(frozen=True)
class DenseLogits:
    """Logits (N,V) as they are."""

    logits_NV: Tensor

    def write(self, out_CV: Tensor, rows: slice, scale: float, add: bool, dtype: torch.dtype) -> None:
        if add:
            out_CV.add_(self.logits_NV[rows], alpha=scale)
        else:
            torch.mul(self.logits_NV[rows].float(), scale, out=out_CV)


@dataclass(frozen=True)
class ExactTargets:
    """Every probability of the teachers' ensemble."""

    teachers: Sequence[TeacherLogits]
    request: LogitRequest

    def log_probs(self, rows: slice, like_CV: Tensor, dtype: torch.dtype) -> Tensor:
        """log q (C,V) float32."""
        temperature = self.request.temperature
        counted = [(z, w) for z, w in zip(self.teachers, self.request.weights, strict=True) if w > 0]
        if self.request.ensemble == "logits":
            mean_CV = torch.empty_like(like_CV)
            for number, (teacher, weight) in enumerate(counted):
                teacher.write(mean_CV, rows, weight / temperature, number > 0, dtype)
            return F.log_softmax(mean_CV, dim=-1)
        total_CV: Tensor | None = None
        for teacher, weight in counted:
            each_CV = torch.empty_like(like_CV)
            teacher.write(each_CV, rows, 1 / temperature, False, dtype)
            each_CV = F.log_softmax(each_CV, dim=-1).add_(math.log(weight))
            total_CV = each_CV if total_CV is None else torch.logaddexp(total_CV, each_CV)
        assert total_CV is not None
        return total_CV

    def compare(self, rows: slice, log_p_CV: Tensor, dtype: torch.dtype) -> Tensor:
        log_q_CV = self.log_probs(rows, log_p_CV, dtype)
        q_CV = log_q_CV.exp()
        kl_C = torch.linalg.vecdot(q_CV, log_q_CV.sub_(log_p_CV))
        log_p_CV.exp_().sub_(q_CV)
        return kl_C


@dataclass(frozen=True)
class SampledTargets:
    """K ids per position drawn from q with expectation K * q_v for token v, and the entropy of q in nats.

    Gradients and KL are unbiased estimates (random-sampling knowledge distillation, Anshumann et al. 2025,
    arXiv:2503.16870); the entropy is exact, so the estimate differs from the KL in the cross term only.
    """

    ids_NK: Tensor
    entropy_N: Tensor

    def compare(self, rows: slice, log_p_CV: Tensor, dtype: torch.dtype) -> Tensor:
        ids_CK = self.ids_NK[rows]
        kl_C = -self.entropy_N[rows] - log_p_CV.gather(1, ids_CK).mean(1)
        each = log_p_CV.new_full((1, 1), -1.0 / ids_CK.shape[1]).expand_as(ids_CK)
        log_p_CV.exp_().scatter_add_(1, ids_CK, each)
        return kl_C
