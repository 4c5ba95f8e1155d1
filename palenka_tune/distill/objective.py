"""What a model is trained on: plain cross-entropy, or the distillation loss that adds the teachers.

    L = ce_weight * CE + alpha(t) * KL_tau + beta(t) * H

An objective owns what trains beside the model (the projections), says which signals a step needs, and turns a batch
into loss terms. A term of weight 0 costs neither logits nor hidden states of a teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from palenka_tune.distill import losses
from palenka_tune.distill.heads import head_of, hidden_states_of
from palenka_tune.distill.projections import PairProjection, TargetTransform, make_projection, target_spread
from palenka_tune.distill.schedules import weight_at
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.shapes import ModelShape, direction_for, projection_widths, resolved_maps
from palenka_tune.distill.signals import SignalRequest, SignalSource, TeacherSignal, WindowBatch
from palenka_tune.distill.targets import LogitRequest

StatesOf = Callable[[nn.Module, Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class Way:
    """How a step computes what it computes: the student's hidden states, the terms of a chunk of its logits (None: as
    `losses` does), and the hidden term (None: pair by pair)."""

    states_of: StatesOf = hidden_states_of
    chunk_terms: losses.ChunkTerms | None = None
    hidden_term: Callable[..., tuple[Tensor, Tensor | None]] | None = None


@dataclass(frozen=True)
class LossTerms:
    """Scalars of one batch, None where a term was not computed; `kl` is the divergence that the settings name.

    `target_std` exists where trained weights project the target: near 0 the target has collapsed to a constant.
    """

    total: Tensor
    ce: Tensor
    kl: Tensor | None = None
    hidden: Tensor | None = None
    target_std: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """The terms that exist, detached, by name."""
        return {name: value.detach() for name, value in vars(self).items() if value is not None}


class PlainObjective(nn.Module):
    """Next-token cross-entropy alone: how teachers are trained, and a student without distillation."""

    def __init__(self, pad_id: int) -> None:
        super().__init__()
        self.pad_id = pad_id

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return []

    def prefetch(self, split: str, index: Tensor, step: int) -> None:
        """Nothing to fetch: there are no teachers."""

    def loss_weights(self, step: int) -> tuple[float, float]:
        """(alpha, beta) at `step`: none."""
        return 0.0, 0.0

    def request(self, alpha: float, beta: float) -> SignalRequest:
        """What a step needs of teachers: nothing."""
        return SignalRequest(None, ())

    def forward(self, model: nn.Module, batch: WindowBatch, step: int) -> LossTerms:
        """Loss terms of `batch`; `step` is the number of optimiser steps taken so far."""
        return self.terms(model, batch, self.request(0.0, 0.0), 0.0, 0.0)

    def terms(
        self,
        model: nn.Module,
        batch: WindowBatch,
        request: SignalRequest,
        alpha: float | Tensor,
        beta: float | Tensor,
        way: Way = Way(),
    ) -> LossTerms:
        """Loss terms of `batch`, computed in the given way."""
        last = way.states_of(model, batch.tokens)[-1]
        terms = losses.logit_loss(last, head_of(model), batch.tokens, self.pad_id, chunk_terms=way.chunk_terms)
        return LossTerms(total=terms.total, ce=terms.ce)


class DistillationObjective(nn.Module):
    """The loss of a student under `settings`, with teachers from `source`.

    `total_steps` is the length of the run, for the schedules of alpha and beta; `seed` initialises the projections.
    """

    def __init__(
        self,
        settings: DistillSettings,
        student: ModelShape,
        source: SignalSource,
        *,
        total_steps: int,
        pad_id: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.settings, self.source, self.total_steps, self.pad_id = settings, source, total_steps, pad_id
        self.weights = settings.weights(len(source.teachers))
        self.maps = resolved_maps(settings, student, source.teachers) if settings.beta else [{} for _ in self.weights]
        self.pairs = nn.ModuleDict()
        for number, (teacher, layer_map) in enumerate(zip(source.teachers, self.maps, strict=True)):
            self._add_pairs(number, teacher, layer_map, student.width, seed)

    def _add_pairs(
        self, number: int, teacher: ModelShape, layer_map: dict[int, int], student_width: int, seed: int
    ) -> None:
        settings = self.settings.projection
        shared: nn.Module | None = None
        for teacher_layer, student_layer in layer_map.items():
            statistics = None
            if TargetTransform.needs_statistics(settings):
                statistics = self.source.statistics(number, teacher_layer)
            if shared is None or settings.sharing == "per_pair":
                widths = projection_widths(settings, student_width, teacher.width)
                shared = make_projection(settings.kind, *widths, seed=seed * 1_000_003 + 1_009 * number + teacher_layer)
            self.pairs[f"{number}:{teacher_layer}:{student_layer}"] = PairProjection(
                settings,
                direction_for(settings, student_width, teacher.width),
                TargetTransform(settings, statistics, self.source.components(number, teacher_layer)),
                shared,
            )

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The projections' parameters for the optimiser, at `lr` times their multiplier."""
        parameters = list(self.pairs.parameters()) if self.settings.hidden_gradient else []
        return [{"params": parameters, "lr": lr * self.settings.projection.lr_multiplier}] if parameters else []

    def loss_weights(self, step: int) -> tuple[float, float]:
        """(alpha, beta) at `step`."""
        s = self.settings
        return (
            weight_at(s.alpha, s.alpha_schedule, step, self.total_steps),
            weight_at(s.beta, s.beta_schedule, step, self.total_steps, s.beta_until),
        )

    def request(self, alpha: float, beta: float) -> SignalRequest:
        """What a step with these weights needs of the teachers."""
        layers = tuple(frozenset(layer_map) if beta else frozenset() for layer_map in self.maps)
        s = self.settings
        logits = LogitRequest(tuple(self.weights), s.temperature, s.ensemble, s.divergence, s.divergence_weight)
        return SignalRequest(logits if alpha > 0 else None, layers)

    def prefetch(self, split: str, index: Tensor, step: int) -> None:
        """Announces the next windows, so that a source on disk reads them meanwhile."""
        request = self.request(*self.loss_weights(step))
        if not request.nothing:
            self.source.prefetch(split, index, request)

    def forward(self, model: nn.Module, batch: WindowBatch, step: int) -> LossTerms:
        """Loss terms of `batch`; `step` is the number of optimiser steps taken so far."""
        alpha, beta = self.loss_weights(step)
        return self.terms(model, batch, self.request(alpha, beta), alpha, beta)

    def terms(
        self,
        model: nn.Module,
        batch: WindowBatch,
        request: SignalRequest,
        alpha: float | Tensor,
        beta: float | Tensor,
        way: Way = Way(),
    ) -> LossTerms:
        """Loss terms of `batch` with the weights `alpha` and `beta`, numbers or tensors (0-dim), of which `request`
        says whether they are 0; computed in the given way."""
        signal = TeacherSignal(None, []) if request.nothing else self.source.signal(batch, request)
        states = way.states_of(model, batch.tokens)
        terms = losses.logit_loss(
            states[-1],
            head_of(model),
            batch.tokens,
            self.pad_id,
            signal.targets,
            ce_weight=self.settings.ce_weight,
            alpha=alpha,
            temperature=self.settings.temperature,
            reduction=self.settings.kl_reduction,
            chunk_terms=way.chunk_terms,
        )
        total, hidden, spread = terms.total, None, None
        if any(request.layers):
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.settings.hidden_gradient):
                hidden_term = way.hidden_term or DistillationObjective.hidden_term
                hidden, spread = hidden_term(self, states, signal.hidden, batch.tokens != self.pad_id)
            total = total + beta * hidden
        return LossTerms(total, terms.ce, terms.kl, hidden, spread)

    def hidden_term(
        self, student: Sequence[Tensor], teachers: list[dict[int, Tensor]], mask_BT: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Mean over teachers of the mean over mapped pairs of the distance; and the spread of trained targets."""
        per_teacher, spreads = [], []
        for number, layer_map in enumerate(self.maps):
            distances = []
            for teacher_layer, student_layer in layer_map.items():
                pair = self.pairs[f"{number}:{teacher_layer}:{student_layer}"]
                prediction, target = pair(student[student_layer], teachers[number][teacher_layer], mask_BT)
                distances.append(losses.hidden_distance(prediction, target, mask_BT, self.settings.projection.distance))
                if pair.direction == "teacher_to_student":
                    spreads.append(target_spread(target, mask_BT))
            per_teacher.append(torch.stack(distances).mean())
        return torch.stack(per_teacher).mean(), torch.stack(spreads).mean() if spreads else None
