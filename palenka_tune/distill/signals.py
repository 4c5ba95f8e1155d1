"""What the teachers say about a batch of windows, whoever provides it.

A training loop asks a `SignalSource` for the `TeacherSignal` of a `WindowBatch` and names what it needs, so that no
logits or hidden states are computed or read that no loss term uses. `OnlineSource` runs the teachers themselves.

Shapes: B windows, T tokens, V vocabulary, E a teacher's width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from palenka_tune.distill.shapes import ModelShape
from palenka_tune.distill.statistics import LayerStatistics, fit_statistics


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one split: `tokens` (B,T) int64 and the `index` (B,) of each in its split's token store."""

    split: str
    index: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class SignalRequest:
    """What is needed of each teacher: logits or not, and the set of hidden states (empty: none)."""

    logits: bool
    layers: tuple[frozenset[int], ...]

    @property
    def nothing(self) -> bool:
        return not self.logits and not any(self.layers)


@dataclass(frozen=True)
class TeacherSignal:
    """Per teacher: logits (B,T,V), or None if not asked for, and {hidden state: (B,T,E)}."""

    logits: list[Tensor] | None
    hidden: list[dict[int, Tensor]]


class SignalSource(Protocol):
    """Anything that can answer for the teachers: the models themselves, or a cache of what they said."""

    teachers: tuple[ModelShape, ...]

    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        """The teachers' outputs for `batch`, detached, on the batch's device."""
        ...

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        """Mean and principal components over train of one hidden state."""
        ...


class OnlineSource:
    """Runs frozen teachers on every batch.

    `sample` (N,T) are the train windows on which the layer statistics are fitted, once per layer when first asked for.
    """

    def __init__(self, models: list[nn.Module], shapes: list[ModelShape], sample: Tensor, pad_id: int) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.teachers = tuple(shapes)
        self.sample, self.pad_id = sample, pad_id
        self._statistics: dict[tuple[int, int], LayerStatistics] = {}

    @torch.no_grad()
    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        logits: list[Tensor] = []
        hidden: list[dict[int, Tensor]] = []
        for model, layers in zip(self.models, request.layers, strict=True):
            if not request.logits and not layers:
                hidden.append({})
                continue
            out = model(
                batch.tokens,
                output_hidden_states=bool(layers),
                use_cache=False,
                # without a KL nobody reads the logits: ask for one position instead of T
                logits_to_keep=0 if request.logits else 1,
            )
            hidden.append({layer: out.hidden_states[layer] for layer in layers})
            if request.logits:
                logits.append(out.logits)
        return TeacherSignal(logits if request.logits else None, hidden)

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        if (teacher, layer) not in self._statistics:
            device = next(self.models[teacher].parameters()).device
            request = SignalRequest(
                logits=False,
                layers=tuple(
                    frozenset(range(shape.depth + 1)) if number == teacher else frozenset()
                    for number, shape in enumerate(self.teachers)
                ),
            )
            chunks = (
                (tokens, self.signal(WindowBatch("train", torch.arange(len(tokens)), tokens), request).hidden[teacher])
                for tokens in self.sample.to(device).split(32)
            )
            for fitted, value in fit_statistics(chunks, self.pad_id).items():
                self._statistics[teacher, fitted] = value
        return self._statistics[teacher, layer]
