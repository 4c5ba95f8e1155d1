"""Teachers that run at every step inside the same graph as the student: the hardest opponent of a cache."""

from __future__ import annotations

import torch

from palenka_tune.distill.loop import resolve_precision
from palenka_tune.distill.signals import OnlineSource, SignalRequest, TeacherSignal, WindowBatch
from palenka_tune.distill.static.trunk import Trunk, trunk_of
from palenka_tune.distill.statistics import LayerStatistics
from palenka_tune.distill.targets import ExactTargets, HeadLogits
from palenka_tune.errors import PalenkaError


class TeachersByTrunk:
    """Answers as `source` does, by the teachers' trunks, which ask the host for nothing."""

    static = True  # a graph can hold what it does

    def __init__(self, source: OnlineSource, window: int) -> None:
        self.source, self.teachers = source, source.teachers
        device = next(source.models[0].parameters()).device
        found = [trunk_of(model, resolve_precision("auto", device), window) for model in source.models]
        if None in found:
            raise PalenkaError("a teacher of this family has no trunk")
        self.trunks: list[Trunk] = [trunk for trunk in found if trunk is not None]

    @torch.no_grad()
    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        states = [trunk.states(batch.tokens) for trunk in self.trunks]
        hidden = [{layer: each[layer] for layer in layers} for each, layers in zip(states, request.layers, strict=True)]
        if request.logits is None:
            return TeacherSignal(None, hidden)
        logits = [
            HeadLogits(each[-1].flatten(0, 1), head) for each, head in zip(states, self.source.heads, strict=True)
        ]
        return TeacherSignal(ExactTargets(logits, request.logits), hidden)

    def prefetch(self, split: str, index: torch.Tensor, request: SignalRequest) -> None:
        """Nothing to fetch."""

    def components(self, teacher: int, layer: int) -> int | None:
        return None

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        return self.source.statistics(teacher, layer)
