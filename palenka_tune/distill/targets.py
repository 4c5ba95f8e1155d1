"""What the student's logits are pulled towards: the teachers' next-token distributions, position by position.

The loss walks over chunks of positions and asks `LogitTargets` for each, so that no (B,T,V) tensor of the teachers ever
exists. `ExactTargets` have every probability, from output heads applied to last hidden states or from stored logits;
`SampledTargets` have a few token ids drawn from the distribution.

Shapes: N positions (windows laid end to end), C positions of a chunk, V vocabulary, E a teacher's width, K samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from palenka_tune.distill.divergences import DIVERGENCES, normalised
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.matmul import product


@dataclass(frozen=True)
class LogitRequest:
    """Which distribution of the teachers is wanted, and by which of `DIVERGENCES` the student is compared with it.

    The teachers' `weights` sum to 1. `ensemble` says what they average: `logits`, softmax(sum_k w_k z_k / tau), as the
    poster does, or `probabilities`, sum_k w_k softmax(z_k / tau).
    """

    weights: tuple[float, ...]
    temperature: float
    ensemble: str = "logits"
    divergence: str = "forward_kl"
    divergence_weight: float = 0.5


class LogitTargets(Protocol):
    """The teachers' distribution q at the temperature of the request, for N positions."""

    def prepare(self, rows: slice, dtype: torch.dtype) -> list[Tensor]:
        """The (C,V) tensors that `compare` needs of the positions `rows`, by matrix products in `dtype`.

        This is a step of its own because products are fastest over many positions, and what follows over few."""

    def compare(self, rows: slice, prepared: list[Tensor], logits_CV: Tensor) -> tuple[Tensor, Tensor]:
        """The divergence in nats for the positions `rows` (C,), and its gradient (C,V) by `logits_CV`.

        `logits_CV` are the student's, divided by the temperature; `prepared` has the same positions and may be
        overwritten."""


class TeacherLogits(Protocol):
    """One teacher's logits, up to a constant per position."""

    def scaled(self, rows: slice, scale: float, dtype: torch.dtype, onto_CV: Tensor | None = None) -> Tensor:
        """`scale` times the logits of `rows`, plus `onto_CV` (which may be overwritten): (C,V) in float32."""


@dataclass(frozen=True)
class HeadLogits:
    """Logits as an output head applied to last hidden states (N,E): exact, and V/E times smaller than logits."""

    hidden_NE: Tensor
    head: OutputHead

    def scaled(self, rows: slice, scale: float, dtype: torch.dtype, onto_CV: Tensor | None = None) -> Tensor:
        weight, bias = self.head.at(dtype)
        logits_CV = product(self.hidden_NE[rows].to(dtype) * scale, weight, onto_MN=onto_CV).float()
        return logits_CV if bias is None else logits_CV.add_(bias, alpha=scale)


@dataclass(frozen=True)
class DenseLogits:
    """Logits (N,V) as they are."""

    logits_NV: Tensor

    def scaled(self, rows: slice, scale: float, dtype: torch.dtype, onto_CV: Tensor | None = None) -> Tensor:
        logits_CV = self.logits_NV[rows].float()
        return logits_CV * scale if onto_CV is None else onto_CV.add_(logits_CV, alpha=scale)


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
            onto_CV = prepared.pop() if averages and prepared else None
            prepared.append(teacher.scaled(rows, (weight if averages else 1.0) / temperature, dtype, onto_CV))
        return prepared

    def log_probs(self, rows: slice) -> Tensor:
        """log q (C,V) of the positions `rows` in float32."""
        prepared = self.prepare(rows, torch.float32)
        return F.log_softmax(prepared[0], dim=-1) if self.request.ensemble == "logits" else self._mixture(prepared)

    def _mixture(self, prepared: list[Tensor]) -> Tensor:
        """The log of the mean of the teachers' probabilities."""
        weights = [weight for weight in self.request.weights if weight > 0]
        weighted = (  # one at a time, since each is a whole (C,V)
            F.log_softmax(logits_CV, dim=-1).add_(math.log(weight))
            for logits_CV, weight in zip(prepared, weights, strict=True)
        )
        return reduce(torch.logaddexp, weighted)

    def compare(self, rows: slice, prepared: list[Tensor], logits_CV: Tensor) -> tuple[Tensor, Tensor]:
        teachers_CV = prepared[0] if self.request.ensemble == "logits" else self._mixture(prepared)
        return DIVERGENCES[self.request.divergence](teachers_CV, logits_CV, self.request.divergence_weight)


@dataclass(frozen=True)
class SampledTargets:
    """K ids per position drawn from q with expectation K * q_v for token v, and the entropy of q in nats.

    They give the forward KL only, no other divergence. Its value and gradient are unbiased estimates (random-sampling
    knowledge distillation, Anshumann et al. 2025, arXiv:2503.16870); the entropy is exact, so the value differs from
    the KL in the cross term only.
    """

    ids_NK: Tensor
    entropy_N: Tensor

    def prepare(self, rows: slice, dtype: torch.dtype) -> list[Tensor]:
        return []

    def compare(self, rows: slice, prepared: list[Tensor], logits_CV: Tensor) -> tuple[Tensor, Tensor]:
        ids_CK = self.ids_NK[rows]
        p_CV, log_sum_p_C = normalised(logits_CV)
        kl_C = log_sum_p_C - self.entropy_N[rows] - logits_CV.gather(1, ids_CK).mean(1)
        each = logits_CV.new_full((1, 1), -1.0 / ids_CK.shape[1]).expand_as(ids_CK)
        return kl_C, p_CV.scatter_add_(1, ids_CK, each)
