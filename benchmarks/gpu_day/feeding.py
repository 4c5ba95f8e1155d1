"""A cache that the GPU does not hold: batches brought beside the steps, and what reading and copying alone can do."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu_day.speed import in_turn
from benchmarks.gpu_day.work import Work
from palenka_tune.cache.staged import StagedSource


def measure(work: Work) -> dict[str, Any]:
    """Tokens/s with the cache on the device and brought to it, in turn; GB/s of gathering, and of copying."""
    capture, cache = work.plan.capture, work.cache("exact")
    loops = {
        "resident": work.loop(work.resident("exact"), capture=capture),
        "staged": work.loop(StagedSource(cache, work.plan.device), capture=capture),
    }
    found: dict[str, Any] = dict(in_turn(work, loops))
    columns = cache.columns["train"]
    index = torch.arange(work.plan.batch) % work.plan.windows
    pinned = {name: column.gather(index) for name, column in columns.items()}
    if work.plan.on_gpu:
        pinned = {name: value.pin_memory() for name, value in pinned.items()}
    size = sum(value.nbytes for value in pinned.values())
    rounds = work.plan.steps

    def gather() -> None:
        for _ in range(rounds):
            for name, column in columns.items():
                column.gather(index, out=pinned[name])

    def copy() -> None:
        for _ in range(rounds):
            for value in pinned.values():
                value.to(work.plan.device, non_blocking=True)

    found["bytes_a_step"] = size
    found["gather_gb_per_second"] = rounds * size / work.seconds(gather) / 1e9
    if work.plan.on_gpu:
        found["copy_gb_per_second"] = rounds * size / work.seconds(copy) / 1e9
    return found
