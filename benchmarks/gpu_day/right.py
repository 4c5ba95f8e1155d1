"""Whether steps as a graph train as steps one by one do, on this device: terms in both precisions, and resumes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_day.work import KINDS, Kind, Work
from palenka_tune.config.recipe import Precision
from palenka_tune.distill.loop import TrainingLoop, load_checkpoint, save_checkpoint

STEPS, STOP = 8, 5


def measure(work: Work) -> None:
    """By kind of training: the largest relative difference of a term in float32; how far bfloat16 is from float32, as
    a graph and one by one; whether a training that stopped and went on is the same to the last bit."""
    for kind in KINDS:
        work.note(**{kind: compared(work, kind)})


def compared(work: Work, kind: Kind) -> dict[str, Any]:
    def terms(precision: Precision, *, graph: bool) -> list[dict[str, float]]:
        source = work.resident(kind) if graph else work.from_disk(kind)
        loop = work.loop(source, precision=precision, capture=work.plan.capture if graph else None)
        return [loop.run_until(step)[-1].terms for step in range(1, STEPS + 1)]

    truth = terms("float32", graph=False)
    ours, theirs = (statistics.mean(_apart(truth, terms("bfloat16", graph=graph))) for graph in (True, False))
    return {
        "float32": largest(_apart(truth, terms("float32", graph=True))),
        "bfloat16": {"graph": ours, "one_by_one": theirs},
        "bfloat16_ratio": ours / theirs,
        "resume_equal": _resumes(work, kind),
    }


def _apart(expected: list[dict[str, float]], found: list[dict[str, float]]) -> list[float]:
    """The relative difference of every term at every step."""
    return [
        abs(there[name] / value - 1)
        for here, there in zip(expected, found, strict=True)
        for name, value in here.items()
        if value
    ]


def largest(values: Iterable[float]) -> float:
    """NaN if one is."""
    return float(torch.tensor(list(values), dtype=torch.float64).max())


def _resumes(work: Work, kind: Kind) -> bool:
    def fresh() -> TrainingLoop:
        return work.loop(work.resident(kind), capture=work.plan.capture)

    straight, stopped = fresh(), fresh()
    straight.run_until(2 * STOP)
    stopped.run_until(STOP)
    path = work.plan.folder / "checkpoint.pt"
    save_checkpoint(stopped.state_dict(), path)
    del stopped
    resumed = fresh()
    resumed.load_state_dict(load_checkpoint(path))
    resumed.run_until(2 * STOP)
    return same(resumed.state_dict(), straight.state_dict())


def same(a: Any, b: Any) -> bool:
    """Whether two states have equal tensors and numbers."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
