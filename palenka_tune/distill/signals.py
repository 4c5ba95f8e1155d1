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

from palenka_tune.distill.heads import head_explains, head_of, states_of
from palenka_tune.distill.matmul import quick_linears
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.distill.statistics import LayerStatistics, fit_statistics
from palenka_tune.distill.targets import (
    DenseLogits,
    ExactTargets,
    HeadLogits,
    LogitRequest,
    LogitTargets,
    TeacherLogits,
)


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one split: `tokens` (B,T) int64 and the `index` (B,) of each among the windows that are trained on."""

    split: str
    index: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class SignalRequest:
    """What is needed of the teachers: which distribution (None: no logits), and of each the set of hidden states."""

    logits: LogitRequest | None
    layers: tuple[frozenset[int], ...]

    @property
    def nothing(self) -> bool:
        return self.logits is None and not any(self.layers)


@dataclass(frozen=True)
class TeacherSignal:
    """The distribution that was asked for, and per teacher {hidden state: (B,T,E), or its
    leading components (B,T,R) where the source says so}."""

    targets: LogitTargets | None
    hidden: list[dict[int, Tensor]]


class SignalSource(Protocol):
    """Anything that can answer for the teachers: the models themselves, or a cache of what they said."""

    teachers: tuple[ModelShape, ...]

    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        """The teachers' outputs for `batch`, detached, on the batch's device."""
        ...

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Told what `signal` will be asked for next; may begin to fetch it."""
        ...

    def components(self, teacher: int, layer: int) -> int | None:
        """How many leading principal components `signal` gives of a hidden state; None: the state itself."""
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
        for model in self.models:
            quick_linears(model)
        self.heads = [head_of(model) for model in self.models]
        self.sample, self.pad_id = sample, pad_id
        self._linear: dict[int, bool] = {}
        self._statistics: dict[tuple[int, int], LayerStatistics] = {}

    @torch.no_grad()
    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        logits: list[TeacherLogits] = []
        hidden: list[dict[int, Tensor]] = []
        for number, layers in enumerate(request.layers):
            if request.logits is None and not layers:
                hidden.append({})
                continue
            states, last_logits = states_of(self.models[number], batch.tokens)
            hidden.append({layer: states[layer] for layer in layers})
            if request.logits is not None:
                logits.append(self._logits(number, batch.tokens, states[-1], last_logits))
        return TeacherSignal(None if request.logits is None else ExactTargets(logits, request.logits), hidden)

    def _logits(self, number: int, tokens_BT: Tensor, last_BTE: Tensor, logits_B1V: Tensor) -> TeacherLogits:
        """By the head, unless the model does more to its logits than its head says: then by a forward of its own."""
        if number not in self._linear:
            self._linear[number] = head_explains(self.heads[number], last_BTE, logits_B1V)
        if self._linear[number]:
            return HeadLogits(last_BTE.flatten(0, 1), self.heads[number])
        return DenseLogits(self.models[number](tokens_BT, use_cache=False).logits.flatten(0, 1))

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Nothing to fetch: the teachers run when they are asked."""

    def components(self, teacher: int, layer: int) -> int | None:
        return None

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        if (teacher, layer) not in self._statistics:
            device = next(self.models[teacher].parameters()).device
            request = SignalRequest(
                logits=None,
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
