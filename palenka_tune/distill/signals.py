"""The teachers' outputs for a batch of windows, from the teachers themselves or from a cache.

An objective asks a `SignalSource` for the `TeacherSignal` of a `WindowBatch` and names what it needs, so that only what
a loss term uses is computed or read. `OnlineSource` runs the teachers themselves.

Shapes: B windows, T tokens, V vocabulary, E a teacher's width.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    """Windows of one split: `tokens` (B,T) int64, and the `index` (B,) of each in the split as the student sees it.

    `place` says where in the batch of a repeated step, of `whole` windows, they stand, for sources that bring all.
    """

    split: str
    index: Tensor
    tokens: Tensor
    place: slice | None = None
    whole: int = 0


@dataclass(frozen=True)
class SignalRequest:
    """What is needed of the teachers: which distribution (None: no logits), and of each teacher which hidden states."""

    logits: LogitRequest | None
    layers: tuple[frozenset[int], ...]

    @property
    def nothing(self) -> bool:
        return self.logits is None and not any(self.layers)


@dataclass(frozen=True)
class TeacherSignal:
    """The distribution of the request, and per teacher {hidden state: (B,T,E), or its leading components (B,T,R) where
    the source's `components` says so}."""

    targets: LogitTargets | None
    hidden: list[dict[int, Tensor]]


class SignalSource(Protocol):
    """Where teachers' outputs come from: the models themselves, or a cache of their outputs."""

    teachers: tuple[ModelShape, ...]

    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        """The teachers' outputs for `batch`, detached, on the batch's device."""

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Announces the next call of `signal`, so that a source on disk can begin to read."""

    def components(self, teacher: int, layer: int) -> int | None:
        """How many leading principal components `signal` gives of a hidden state (None: the state itself)."""

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        """Mean and principal components over train of one hidden state."""


SPREAD = "hf_device_map"  # what transformers calls the places of a model that is spread over several devices


class OnlineSource:
    """Runs frozen teachers on every batch.

    `sample` (N,T) are the train windows on which a teacher's layer statistics are fitted, at their first use.
    """

    def __init__(self, models: list[nn.Module], shapes: list[ModelShape], sample: Tensor, pad_id: int) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.teachers = tuple(shapes)
        for model in self.models:
            if next(model.parameters()).dtype is torch.float32 and not hasattr(model, SPREAD):
                quick_linears(model)
        # a spread model's head is on its last device, and what the model gives on its first
        self.heads = [head_of(model).to(next(model.parameters()).device) for model in self.models]
        self.sample, self.pad_id = sample, pad_id
        self._linear: dict[int, bool] = {}
        self._statistics: dict[int, dict[int, LayerStatistics]] = {}

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
        """By the output head; a model that scales or caps its logits after its head runs a second time for them."""
        if number not in self._linear:
            self._linear[number] = head_explains(self.heads[number], last_BTE, logits_B1V)
        if self._linear[number]:
            return HeadLogits(last_BTE.flatten(0, 1), self.heads[number])
        return DenseLogits(self.models[number](tokens_BT, use_cache=False).logits.flatten(0, 1))

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Nothing to fetch: the teachers run in `signal`."""

    def components(self, teacher: int, layer: int) -> int | None:
        return None

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        if layer not in self._statistics.get(teacher, {}):
            self.fit(teacher, range(self.teachers[teacher].depth + 1))
        return self._statistics[teacher][layer]

    @torch.no_grad()
    def fit(self, teacher: int, layers: Iterable[int]) -> None:
        """Fit the statistics of `layers` of a teacher in one pass over the sample."""
        model, wanted = self.models[teacher], tuple(layers)
        if not wanted:
            return
        windows = self.sample.to(next(model.parameters()).device).split(32)
        states = ((tokens, states_of(model, tokens)[0]) for tokens in windows)
        chunks = ((tokens, {layer: every[layer] for layer in wanted}) for tokens, every in states)
        self._statistics[teacher] = fit_statistics(chunks, self.pad_id)
