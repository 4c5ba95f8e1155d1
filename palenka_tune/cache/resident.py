"""A source of teacher signals whose cache lies on the device: a batch is gathered there, without a word to the host.

That is what a step needs that a CUDA graph repeats. It is for caches that fit into the device's memory (`fits`).

Shapes: N windows of a split, B windows of a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from palenka_tune.cache.source import CachedSource, Gathered
from palenka_tune.cache.store import TeacherCache
from palenka_tune.distill.signals import SignalRequest, WindowBatch

SHARE = 0.4  # of the free memory that a cache may take: two trials may share a GPU, and begin at the same moment
AT_ONCE = 256  # windows that are read before they are copied


def fits(cache: TeacherCache, device: torch.device) -> bool:
    """Whether all of `cache` goes into `SHARE` of what is free on the GPU `device`."""
    return cache.bytes <= SHARE * torch.cuda.mem_get_info(device)[0]


class ResidentSource(CachedSource):
    """Answers as `CachedSource` does, with the same tensors."""

    static = True  # a graph can hold what it does

    def __init__(self, cache: TeacherCache, device: str | torch.device = "cpu") -> None:
        super().__init__(cache, device)
        self._columns: dict[tuple[str, str], Tensor] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return (ResidentSource, (self.cache, self.device))

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Nothing to fetch: everything is there."""

    def _take(self, batch: WindowBatch, names: frozenset[str]) -> Gathered:
        index = batch.index.to(self.device)
        return {name: _rows(self._column(batch.split, name), index) for name in names}

    def _column(self, split: str, name: str) -> Tensor:
        """A column (N,...) of all windows, brought to the device at its first use."""
        if (split, name) not in self._columns:
            column = self.cache.columns[split][name]
            held = torch.empty(column.shape, dtype=column.dtype, device=self.device)
            for start in range(0, len(column), AT_ONCE):
                part = np.arange(start, min(start + AT_ONCE, len(column)))
                held[start : start + len(part)].copy_(column.gather(part))
            self._columns[split, name] = held
        return self._columns[split, name]


def _rows(column: Tensor, index: Tensor) -> Tensor:
    """`column[index]`; rows of unsigned numbers are taken as signed ones, for which every device has the operation."""
    if column.dtype is torch.uint16:
        return column.view(torch.int16).index_select(0, index).view(torch.uint16)
    return column.index_select(0, index)
