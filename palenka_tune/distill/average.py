"""Averaged weights: what a student is worth before its learning rate has come down.

In the middle of a schedule the weights jump about with the learning rate, and a student with a large one looks worse
than it will be. An average over the latest steps takes the noise out (Polyak and Juditsky 1992), so that students are
compared by it on the way. At the end of the schedule the weights themselves are the student.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

# the share of the steps so far over which the average reaches back
SHARE = 0.1


class WeightAverage:
    """An exponential average of `parameters` over the last tenth of the steps so far.

    At step t each new value enters with weight min(1, 1 / (SHARE * t)): the average's mean age is a tenth of t, so that
    it forgets the first steps whatever the length of the training.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    @staticmethod
    def weight(step: int) -> float:
        """With which the parameters after `step` steps (1 or more) enter."""
        return min(1.0, 1 / (SHARE * step))

    @torch.no_grad()
    def take(self, weight: float | Tensor) -> None:
        """Take in the parameters as they are now with `weight`, a number or a tensor (0-dim) on their device."""
        steps = torch._foreach_sub([each.detach() for each in self.parameters], self.values)
        torch._foreach_mul_(steps, weight)
        torch._foreach_add_(self.values, steps)

    @contextlib.contextmanager
    def swapped(self) -> Iterator[None]:
        """The model has the averaged weights within, and its own again afterwards."""
        own = [parameter.detach().clone() for parameter in self.parameters]
        try:
            self._set(self.values)
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, values: Sequence[Tensor]) -> None:
        torch._foreach_copy_([each.detach() for each in self.parameters], list(values))

    def state_dict(self) -> list[Tensor]:
        """The average, for a checkpoint."""
        return self.values

    def load_state_dict(self, values: Sequence[Tensor]) -> None:
        """Continue from a checkpoint."""
        torch._foreach_copy_(self.values, [value.to(self.values[0].device) for value in values])
