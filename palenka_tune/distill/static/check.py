"""Whether repeated steps train as the loop does, on the device that is there: a few steps both ways from one state.

Rounding differs between the two, so that they are held against bounds: the loss terms over the steps, and by how much
and whereto the steps moved the weights. Afterwards the loop is as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from palenka_tune.distill.signals import SignalRequest
from palenka_tune.distill.static.graph import Capture
from palenka_tune.distill.static.step import Held, trained
from palenka_tune.distill.static.training import Training

STEPS, WINDOWS = 4, 64  # of training, and of dev after them
# by precision: relative difference of a term, cosine of the two moves of all weights, and of any one matrix
BOUNDS = {torch.float32: (1e-4, 0.999, 0.99), torch.bfloat16: (2e-2, 0.9, 0.5)}
LENGTH = 0.05  # the lengths of the two moves may differ by so much


@dataclass(frozen=True)
class Comparison:
    """`terms` are relative differences of the means over the steps; `matrix` is the lowest cosine of a matrix's two
    moves; `length` is the ratio of the lengths of all moves less 1."""

    terms: dict[str, float]
    cosine: float
    matrix: float
    length: float
    precision: str

    @property
    def agrees(self) -> bool:
        """Whether all lies within `BOUNDS`; a NaN does not."""
        most, cosine, matrix = BOUNDS[getattr(torch, self.precision)]
        alike = self.cosine >= cosine and self.matrix >= matrix and self.length <= LENGTH
        return alike and all(value <= most for value in self.terms.values())

    def describe(self) -> str:
        """For a log line."""
        worst = ", ".join(f"{name} {value:.1e}" for name, value in self.terms.items())
        cosines = f"cosine {self.cosine:.4f}, of a matrix {self.matrix:.4f}"
        return f"relative differences {worst}; moves of the weights: {cosines}, length {self.length:+.1e}"

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "agrees": self.agrees}


def compare(loop: Training, capture: Capture) -> Comparison:
    """Take some steps of each kind that the training has one by one, then as `capture` makes them; the worst of all.

    Raises `CaptureError` if a step cannot be captured; the loop is as it was then too.
    """
    held = Held(loop)
    found: list[Comparison] = []
    loop.falls_back = False
    try:
        for first in _first_of_each_kind(loop):
            found.append(_compare_from(first, loop, capture, held))
            held.put_back()
    finally:
        held.put_back()
        loop.capture, loop.falls_back = None, True
        loop.forget_graphs()
    names = dict.fromkeys(name for each in found for name in each.terms)
    return Comparison(
        {name: _worst(each.terms.get(name, 0.0) for each in found) for name in names},
        -_worst(-each.cosine for each in found),
        -_worst(-each.matrix for each in found),
        _worst(each.length for each in found),
        found[0].precision,
    )


def _first_of_each_kind(loop: Training) -> list[int]:
    """The steps at which a kind of step (what is asked of the teachers) is there for the first time."""
    first: dict[SignalRequest, int] = {}
    for step in range(loop.step, loop.total_steps):
        first.setdefault(loop.objective.request(*loop.objective.loss_weights(step)), step)
    return list(first.values())


def _compare_from(first: int, loop: Training, capture: Capture, held: Held) -> Comparison:
    count = min(STEPS, loop.total_steps - first)
    loop.model.train()
    loop.step, loop.capture = first, None
    expected = loop.take(count) | loop.validate(teachers=False, most=WINDOWS)
    theirs = _moved(loop, held)
    held.put_back()
    loop.step, loop.capture = first, capture
    loop.forget_graphs()
    loop.model.train()
    found = loop.take(count) | loop.validate(teachers=False, most=WINDOWS)
    ours = _moved(loop, held)
    terms = {name: abs(found.get(name, torch.nan) / value - 1) if value else 0.0 for name, value in expected.items()}
    matrices = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.dim() >= 2 and b.any()]
    whole = [torch.cat([each.flatten() for each in moves]) for moves in (ours, theirs)]
    length = abs(float(whole[0].norm() / whole[1].norm()) - 1)
    lowest = -_worst(-_cosine(a, b) for a, b in matrices)
    return Comparison(terms, _cosine(*whole), lowest, length, str(loop.dtype).removeprefix("torch."))


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def _worst(values: Iterable[float]) -> float:
    """The largest; NaN if one is."""
    return float(torch.tensor(list(values), dtype=torch.float64).max())


def _moved(loop: Training, held: Held) -> list[Tensor]:
    """From where they were to where the parameters are, in float64."""
    return [now.detach().double() - before.double() for now, before in zip(trained(loop), held.parameters, strict=True)]
