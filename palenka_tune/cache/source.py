"""A source of teacher signals that never loads a teacher: batches are gathered from the mapped cache.

Only the columns that a request names are read. The next batch is gathered on a thread while the student trains on this
one; on a GPU it goes through pinned memory, so that its copy overlaps too.

Shapes: B windows, T tokens, N = B*T positions, E a teacher's width, R components, K samples.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from palenka_tune.cache.encode import dequantise
from palenka_tune.cache.plan import Distribution, hidden_name, scale_name
from palenka_tune.cache.store import REBUILD, TeacherCache
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.signals import SignalRequest, TeacherSignal, WindowBatch
from palenka_tune.distill.statistics import LayerStatistics
from palenka_tune.distill.targets import (
    DenseLogits,
    ExactTargets,
    HeadLogits,
    LogitRequest,
    LogitTargets,
    SampledTargets,
)
from palenka_tune.errors import PalenkaError, UserError

Gathered = dict[str, Tensor]


class CachedSource:
    """Answers like the teachers of `cache`, on `device`."""

    def __init__(self, cache: TeacherCache, device: str | torch.device = "cpu") -> None:
        self.cache, self.device = cache, torch.device(device)
        self.teachers = cache.teachers
        self.form = cache.manifest["plan"]["form"]
        self.encoding = cache.manifest["plan"]["encoding"]
        self.layers: list[dict[str, int | None]] = cache.manifest["plan"]["layers"]
        self.distributions = [
            Distribution(tuple(d["weights"]), d["temperature"], d["ensemble"])
            for d in cache.manifest["plan"]["distributions"]
        ]
        self._heads: list[OutputHead] | None = None
        self._statistics: dict[tuple[int, int], LayerStatistics] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._ahead: tuple[tuple[str, Tensor, frozenset[str]], Future[Gathered]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (CachedSource, (self.cache, self.device))

    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        """The teachers' outputs for `batch`: hidden states (B,T,E), or (B,T,R) where `components` says so."""
        held = self._take(batch, self._names(request))
        held = {name: value.to(self.device, non_blocking=True) for name, value in held.items()}
        hidden = [
            {layer: self._hidden(held, teacher, layer) for layer in layers}
            for teacher, layers in enumerate(request.layers)
        ]
        return TeacherSignal(None if request.logits is None else self._targets(held, request.logits), hidden)

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Begin to gather the windows `index` of `split`, which `signal` will be asked for next."""
        names = self._names(request)
        if names:
            self._ahead = ((split, index, names), self._thread.submit(self._gather, split, index, names))

    def components(self, teacher: int, layer: int) -> int | None:
        """Leading principal components that are kept of a hidden state; None: the state itself."""
        if str(layer) not in self.layers[teacher]:
            raise PalenkaError(
                f"the teacher cache {self.cache.folder} does not hold state {layer} of teacher {teacher}; {REBUILD}"
            )
        return self.layers[teacher][str(layer)]

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        if (teacher, layer) not in self._statistics:
            self._statistics[teacher, layer] = self.cache.statistics(teacher, layer)
        return self._statistics[teacher, layer]

    def _names(self, request: SignalRequest) -> frozenset[str]:
        """The columns that answer a request."""
        names = {hidden_name(teacher, layer) for teacher, layers in enumerate(request.layers) for layer in layers}
        if self.encoding == "int8":
            names |= {scale_name(teacher, layer) for teacher, layers in enumerate(request.layers) for layer in layers}
        if request.logits is not None:
            if self.form is None:
                raise PalenkaError(f"the teacher cache {self.cache.folder} holds no logits; {REBUILD}")
            if self.form == "sampled":
                number = self._distribution(request.logits)
                names |= {f"ids{number}", f"entropy{number}"}
            else:
                names |= set(self.cache.manifest["logits_columns"])
        return frozenset(names)

    def _distribution(self, request: LogitRequest) -> int:
        wanted = Distribution(tuple(request.weights), float(request.temperature), request.ensemble)
        if request.divergence != "forward_kl":
            raise UserError(
                f"the teacher cache {self.cache.folder} holds samples, which give divergence forward_kl only, but "
                f"divergence is {request.divergence}; use cache.form=final_hidden"
            )
        if wanted not in self.distributions:
            raise UserError(
                f"the teacher cache {self.cache.folder} holds samples at other settings than temperature "
                f"{request.temperature:g}, weights {list(request.weights)}, ensemble {request.ensemble}; "
                "use cache.form=final_hidden"
            )
        return self.distributions.index(wanted)

    def _take(self, batch: WindowBatch, names: frozenset[str]) -> Gathered:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            (split, index, ready), future = ahead
            if split == batch.split and ready >= names and torch.equal(index, batch.index):
                return future.result()
        return self._gather(batch.split, batch.index, names)

    def _gather(self, split: str, index: Tensor, names: frozenset[str]) -> Gathered:
        columns = self.cache.columns[split]
        gathered = {name: columns[name].gather(index) for name in names}
        if self.device.type == "cuda":
            gathered = {name: value.pin_memory() for name, value in gathered.items()}
        return gathered

    def _hidden(self, held: Gathered, teacher: int, layer: int) -> Tensor:
        value = held[hidden_name(teacher, layer)]
        return dequantise(value, held[scale_name(teacher, layer)]) if self.encoding == "int8" else value

    def _targets(self, held: Gathered, request: LogitRequest) -> LogitTargets:
        if self.form == "sampled":
            number = self._distribution(request)
            ids = held[f"ids{number}"].flatten(0, 1).to(torch.int64)
            return SampledTargets(ids, held[f"entropy{number}"].flatten())
        kept = [held[name].flatten(0, 1) for name in self.cache.manifest["logits_columns"]]
        if self.form == "dense":
            return ExactTargets([DenseLogits(logits) for logits in kept], request)
        if self._heads is None:
            self._heads = [head.to(self.device) for head in self.cache.heads()]
        return ExactTargets([HeadLogits(last, head) for last, head in zip(kept, self._heads, strict=True)], request)
