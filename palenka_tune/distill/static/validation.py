"""A student's cross-entropy on dev windows by a graph of its own: the forward pass alone, repeated batch by batch.

Shapes: N windows, B windows of a batch, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from palenka_tune.distill.heads import head_of
from palenka_tune.distill.losses import logit_loss
from palenka_tune.distill.static.graph import Capture
from palenka_tune.distill.static.step import WARM_UP, states_for
from palenka_tune.distill.static.training import Training


class StaticValidation:
    """Measures the model of `loop` with the weights that it has, `batch_size` windows at a time."""

    def __init__(self, loop: Training, batch_size: int, capture: Capture) -> None:
        self.loop, self.batch_size = loop, batch_size
        self.states = states_for(loop)
        shape = batch_size, loop.dev.shape[1]
        self.tokens = torch.full(shape, loop.pad_id, dtype=torch.int64, device=loop.device)
        self.sums = torch.zeros(2, dtype=torch.float64, device=loop.device)  # of the cross-entropy, and of targets
        self.graph = capture(self._body, WARM_UP)

    @torch.no_grad()
    def cross_entropy(self, windows_NT: Tensor) -> float:
        """Mean over all targets of the windows, in nats per token."""
        self.sums.zero_()
        for part in windows_NT.to(self.loop.device, torch.int64).split(self.batch_size):
            self.tokens[: len(part)].copy_(part)
            self.tokens[len(part) :].fill_(self.loop.pad_id)  # the last batch may have fewer
            self.graph.replay()
        total, targets = self.sums.tolist()
        return float(total / targets)

    @torch.no_grad()
    def _body(self) -> None:
        loop = self.loop
        with loop.computing():
            last = self.states(loop.model, self.tokens)[-1]
            ce = logit_loss(last, head_of(loop.model), self.tokens, loop.pad_id).ce
        targets = (self.tokens[:, 1:] != loop.pad_id).sum()
        self.sums[0].add_(ce.double() * targets)
        self.sums[1].add_(targets)
