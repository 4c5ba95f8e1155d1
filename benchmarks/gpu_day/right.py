"""Whether steps as a graph train as steps one by one do, on this device: terms in both precisions, and resumes."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu_day.work import KINDS, Kind, Work
from palenka_tune.config.recipe import Precision
from palenka_tune.distill.loop import TrainingLoop, load_checkpoint, save_checkpoint

STEPS, STOP = 8, 5


def measure(work: Work) -> dict[str, Any]:
    """By kind of training: the largest relative difference of a term in float32; how far bfloat16 is from float32, as
    a graph and one by one; whether a training that stopped and went on has the same weights."""
    return {kind: _of(work, kind) for kind in KINDS}


def _of(work: Work, kind: Kind) -> dict[str, Any]:
    def terms(precision: Precision, *, graph: bool) -> list[dict[str, float]]:
        source = work.resident(kind) if graph else work.from_disk(kind)
        loop = work.loop(source, precision=precision, capture=work.plan.capture if graph else None)
        return [loop.run_until(step)[-1].terms for step in range(1, STEPS + 1)]

    truth = terms("float32", graph=False)
    narrow = {name: _apart(truth, terms("bfloat16", graph=graph)) for name, graph in (("graph", True), ("loop", False))}
    return {
        "float32": _apart(truth, terms("float32", graph=True)),
        "bfloat16": narrow,
        "bfloat16_ratio": narrow["graph"] / narrow["loop"],
        "resume_equal": _resumes(work, kind),
    }


def _apart(expected: list[dict[str, float]], found: list[dict[str, float]]) -> float:
    """The largest relative difference of any term at any step."""
    return max(
        abs(there[name] / value - 1)
        for here, there in zip(expected, found, strict=True)
        for name, value in here.items()
        if value
    )


def _resumes(work: Work, kind: Kind) -> bool:
    def fresh() -> TrainingLoop:
        return work.loop(work.resident(kind), capture=work.plan.capture)

    straight, stopped = fresh(), fresh()
    straight.run_until(2 * STOP)
    stopped.run_until(STOP)
    path = work.plan.folder / "checkpoint.pt"
    save_checkpoint(stopped.state_dict(), path)
    resumed = fresh()
    resumed.load_state_dict(load_checkpoint(path))
    resumed.run_until(2 * STOP)
    ours, theirs = resumed.model.state_dict(), straight.model.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)
