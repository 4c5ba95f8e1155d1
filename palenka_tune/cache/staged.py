"""A source of teacher signals that brings each batch to fixed places on the device, from which repeated steps read.

For caches that are too large for the device. One thread gathers the next batch from disk into pinned memory, and a
stream of its own copies it to the device while the step before it runs. What waits there is put into place in time.

Shapes: B windows of a batch.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from palenka_tune.cache.source import CachedSource, Gathered
from palenka_tune.cache.store import TeacherCache
from palenka_tune.distill.signals import SignalRequest, WindowBatch

SLOTS = 3  # batches under way: one being gathered, one being copied, one in use


@dataclass
class _Slot:
    """Memory for one batch, pinned and on the device, and when it has last been copied."""

    pinned: Gathered = field(default_factory=dict)
    brought: Gathered = field(default_factory=dict)
    copied: Any = None  # an event of the stream that copies
    used: Any = None  # an event of the stream that computes


class StagedSource(CachedSource):
    """Answers as `CachedSource` does, for the batch that was brought last."""

    static = True  # a graph can hold what `signal` does

    def __init__(self, cache: TeacherCache, device: str | torch.device = "cpu") -> None:
        super().__init__(cache, device)
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._coming: deque[tuple[Tensor, frozenset[str], _Slot, Future[None]]] = deque()
        self._begun = 0
        self._places: dict[tuple[str, int], Tensor] = {}
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    def __reduce__(self) -> tuple[Any, ...]:
        return (StagedSource, (self.cache, self.device))

    def begin(self, index_B: Tensor, request: SignalRequest) -> None:
        """Begin to bring the windows `index_B` of train; at most `SLOTS - 1` batches may be under way."""
        slot = self._slots[self._begun % SLOTS]
        self._begun += 1
        names = self._names(request)
        self._coming.append((index_B, names, slot, self._thread.submit(self._bring, index_B, names, slot)))

    def bring(self, index_B: Tensor, request: SignalRequest) -> None:
        """Put the windows `index_B` of train into place; those that `begin` was told of are on their way already."""
        wanted = self._names(request)
        while self._coming and not (torch.equal(self._coming[0][0], index_B) and self._coming[0][1] >= wanted):
            self._coming.popleft()[-1].result()  # of a training that went on elsewhere
        if not self._coming:
            self.begin(index_B, request)
        _, _, slot, future = self._coming.popleft()
        future.result()
        if self._stream is not None:
            torch.cuda.current_stream().wait_event(slot.copied)
        for name in wanted:
            self._place(name, len(index_B), slot.brought[name]).copy_(slot.brought[name])
        if self._stream is not None:
            slot.used = torch.cuda.Event()
            slot.used.record()

    def _take(self, batch: WindowBatch, names: frozenset[str]) -> Gathered:
        if batch.place is None:
            return super()._take(batch, names)
        return {name: self._places[name, batch.whole][batch.place] for name in names}

    def _place(self, name: str, size: int, like: Tensor) -> Tensor:
        """Where a column of a batch of `size` windows lies for good: a graph reads from there."""
        if (name, size) not in self._places:
            self._places[name, size] = torch.empty_like(like)
        return self._places[name, size]

    def _bring(self, index_B: Tensor, names: frozenset[str], slot: _Slot) -> None:
        """On the thread: gather, then copy on the stream of the source."""
        columns = self.cache.columns["train"]
        if self._stream is None:
            slot.brought.update({name: columns[name].gather(index_B) for name in names})
            return
        if slot.copied is not None:
            slot.copied.synchronize()  # its pinned memory is free again
        for name in names:
            shape = (len(index_B), *columns[name].shape[1:])
            if name not in slot.pinned or slot.pinned[name].shape != shape:
                slot.pinned[name] = torch.empty(shape, dtype=columns[name].dtype, pin_memory=True)
            columns[name].gather(index_B, out=slot.pinned[name])
        with torch.cuda.stream(self._stream):  # whose memory it is, too
            if slot.used is not None:
                self._stream.wait_event(slot.used)
            for name in names:
                pinned = slot.pinned[name]
                if name not in slot.brought or slot.brought[name].shape != pinned.shape:
                    slot.brought[name] = torch.empty_like(pinned, device=self.device)
                slot.brought[name].copy_(slot.pinned[name], non_blocking=True)
            slot.copied = torch.cuda.Event()
            slot.copied.record(self._stream)
