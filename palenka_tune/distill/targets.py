"""What the student's logits are pulled towards: the teachers' next-token distributions, position by position.

The loss walks over chunks of positions and asks `LogitTargets` for each, so that no (B,T,V) tensor of the teachers ever
exists. `ExactTargets` have every probability, from output heads applied to last hidden states or from kept logits;
`SampledTargets` have a few token ids drawn from the distribution.

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

    def prepare(self, rows: slice, dtype: torch.dtype) -> list[Tensor]:
        """The (C,V) tensors that `compare` needs of the positions `rows`: whatever is a matrix product, in `dtype`,
        since products want more positions at once than what is done to their results."""
        ...

    def compare(self, rows: slice, prepared: list[Tensor], log_p_CV: Tensor) -> Tensor:
        """KL(q || p) in nats for the positions `rows`: (C,), where `log_p_CV` is the student's log-softmax at the same
        temperature and `prepared` has the same positions. `log_p_CV` is overwritten with p - q, the gradient of that KL
        by the logits over the temperature; `prepared` may be overwritten too."""
        ...


class TeacherLogits(Protocol):
    """One teacher's logits, up to a constant per position."""

    def scaled(self, rows: slice, scale: float, dtype: torch.dtype) -> Tensor:
        """`scale` times the logits of `rows`: a new tensor (C,V) in float32."""
        ...


@dataclass(frozen=True)
class HeadLogits:
    """Logits as an output head applied to last hidden states (N,E): exact, and V/E times smaller than logits."""

    hidden_NE: Tensor
    head: OutputHead

    def scaled(self, rows: slice, scale: float, dtype: torch.dtype) -> Tensor:
        weight, bias = self.head.at(dtype)
        logits_CV = product(self.hidden_NE[rows].to(dtype) * scale, weight).float()
        return logits_CV if bias is None else logits_CV.add_(bias, alpha=scale)


@dataclass(frozen=True)
class DenseLogits:
    """Logits (N,V) as they are."""

    logits_NV: Tensor

    def scaled(self, rows: slice, scale: float, dtype: torch.dtype) -> Tensor:
        return self.logits_NV[rows].float() * scale


@dataclass(frozen=True)
class ExactTargets:
    """Every probability of the teachers' ensemble."""

    teachers: Sequence[TeacherLogits]
    request: LogitRequest

    def prepare(self, rows: slice, dtype: torch.dtype) -> list[Tensor]:
        """The mean of the teachers' logits over the temperature, or each teacher's where probabilities are averaged."""
        temperature, averages = self.request.temperature, self.request.ensemble == "logits"
        prepared: list[Tensor] = []
        for teacher, weight in zip(self.teachers, self.request.weights, strict=True):
            if weight <= 0:
                continue
            scaled_CV = teacher.scaled(rows, (weight if averages else 1.0) / temperature, dtype)
            if averages and prepared:
                prepared[0].add_(scaled_CV)
            else:
                prepared.append(scaled_CV)
        return prepared

    def log_probs(self, rows: slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """log q (C,V) of the positions `rows` in float32."""
        return self._normalised(self.prepare(rows, dtype))

    def _normalised(self, prepared: list[Tensor]) -> Tensor:
        if self.request.ensemble == "logits":
            return F.log_softmax(prepared[0], dim=-1)
        weights = [weight for weight in self.request.weights if weight > 0]
        total_CV: Tensor | None = None
        for logits_CV, weight in zip(prepared, weights, strict=True):
            each_CV = F.log_softmax(logits_CV, dim=-1).add_(math.log(weight))
            total_CV = each_CV if total_CV is None else torch.logaddexp(total_CV, each_CV)
        assert total_CV is not None
        return total_CV

    def compare(self, rows: slice, prepared: list[Tensor], log_p_CV: Tensor) -> Tensor:
        log_q_CV = self._normalised(prepared)
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

    def prepare(self, rows: slice, dtype: torch.dtype) -> list[Tensor]:
        return []

    def compare(self, rows: slice, prepared: list[Tensor], log_p_CV: Tensor) -> Tensor:
        ids_CK = self.ids_NK[rows]
        kl_C = -self.entropy_N[rows] - log_p_CV.gather(1, ids_CK).mean(1)
        each = log_p_CV.new_full((1, 1), -1.0 / ids_CK.shape[1]).expand_as(ids_CK)
        log_p_CV.exp_().scatter_add_(1, ids_CK, each)
        return kl_C
