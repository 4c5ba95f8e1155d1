"""A cache that the GPU does not hold: batches brought beside the steps, and what reading and copying alone can do."""

from __future__ import annotations

import torch

from benchmarks.gpu_day.work import Work
from palenka_tune.cache.staged import StagedSource


def measure(work: Work) -> None:
    """Tokens/s with the cache on the device and brought to it, in turn; GB/s of gathering, and of copying."""
    capture, cache = work.plan.capture, work.cache("exact")
    loops = {
        "resident": work.loop(work.resident("exact"), capture=capture),
        "staged": work.loop(StagedSource(cache, work.plan.device), capture=capture),
    }
    work.note(**work.in_turn(loops))
    columns = cache.columns["train"]
    pinned = {name: column.gather(_windows(work, 0)) for name, column in columns.items()}
    if work.plan.on_gpu:
        pinned = {name: value.pin_memory() for name, value in pinned.items()}
    size = sum(value.nbytes for value in pinned.values())
    rounds = work.plan.steps

    def gather() -> None:
        for number in range(rounds):
            index = _windows(work, number)
            for name, column in columns.items():
                column.gather(index, out=pinned[name])

    def copy() -> None:
        for _ in range(rounds):
            for value in pinned.values():
                value.to(work.plan.device, non_blocking=True)

    work.note(bytes_a_step=size, gather_gb_per_second=rounds * size / work.seconds(gather) / 1e9)
    if work.plan.on_gpu:
        work.note(copy_gb_per_second=rounds * size / work.seconds(copy) / 1e9)


def _windows(work: Work, number: int) -> torch.Tensor:
    """Of a batch; the next has others, as in a training."""
    size = work.plan.batch
    return torch.arange(number * size, (number + 1) * size) % work.plan.windows
