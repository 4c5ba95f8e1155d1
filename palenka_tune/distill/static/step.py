"""The optimiser steps of a training loop without a word to the host between them.

`StaticStep` keeps on the device what changes from step to step: a table with a row for each of the next steps (loss
weights, learning rates, the average's weight, the windows of the batch), and a counter that says which row is next. The
body of a step reads its row, gathers tokens and signals, and moves model, optimiser, average, sums and counter on. It
is captured once for each kind of step (with or without teachers' logits, with or without hidden states) and repeated
from then on. Capturing trains for some steps; afterwards everything is as it was before, so that every step which
counts is a repeated one, also the first after a resume.

Shapes: R rows of the table, B windows of a batch, T tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from palenka_tune.distill.average import WeightAverage
from palenka_tune.distill.heads import hidden_states_of
from palenka_tune.distill.objective import DistillationObjective, StatesOf, Way
from palenka_tune.distill.schedules import lr_factor
from palenka_tune.distill.signals import SignalRequest, WindowBatch
from palenka_tune.distill.static.fused import FusedTerms
from palenka_tune.distill.static.graph import Capture, CaptureError, Graph, cuda_graph
from palenka_tune.distill.static.groups import can_group, hidden_term
from palenka_tune.distill.static.training import Training
from palenka_tune.distill.static.trunk import trunk_of
from palenka_tune.errors import first_line

WARM_UP = 2  # steps before a capture: optimisers, libraries and compilers set themselves up in the first
ALPHA, BETA, AVERAGE, RATES = 0, 1, 2, 3  # columns of the table; learning rates are the last


class StaticStep:
    """The steps of `loop`, `rows` of them planned at a time."""

    def __init__(self, loop: Training, *, rows: int, capture: Capture = cuda_graph) -> None:
        self.loop, self.capture = loop, capture
        device, groups = loop.device, loop.optimizer.param_groups
        self.windows = loop.train.to(device, torch.int64)
        self.table = torch.zeros(rows, RATES + len(groups), device=device)
        self.index = torch.zeros(rows, loop.recipe.batch_size, dtype=torch.int64, device=device)
        self.row = torch.zeros(1, dtype=torch.int64, device=device)
        self.rates = [torch.zeros((), device=device) for _ in groups]
        self.trained = trained(loop)
        self.sums: dict[str, Tensor] = {}
        objective = loop.objective
        grouped = isinstance(objective, DistillationObjective) and can_group(objective)
        source: Any = getattr(objective, "source", None)
        self.staged = source if hasattr(source, "bring") else None
        self.way = Way(states_for(loop), FusedTerms(), hidden_term if grouped else None)
        self._graphs: dict[SignalRequest, Graph] = {}
        self._terms: dict[SignalRequest, tuple[str, ...]] = {}  # that a step of this kind has
        for group, rate in zip(groups, self.rates, strict=True):
            # the learning rate is read from the device, where a graph finds it
            group["lr"], group["capturable"] = rate, device.type == "cuda"

    def run(self, count: int) -> tuple[dict[str, float], Counter[str]]:
        """Take the next `count` steps, at most as many as the table has rows; the sum of each term over the steps that
        had it, and how many these were."""
        first, objective = self.loop.step, self.loop.objective
        steps = range(first, first + count)
        requests = [objective.request(*objective.loss_weights(step)) for step in steps]
        # a kind of step that is new is captured with rows that are as they will be, and before any step is taken
        index = self._plan(first, count)
        for number, request in enumerate(requests):
            if request not in self._graphs:
                self._bring(index[number], request)
                self._graphs[request] = self._captured(request)
        counts: Counter[str] = Counter()
        for number, request in enumerate(requests):
            self._bring(index[number], request)
            if number + 1 < count:
                self._begin(index[number + 1], requests[number + 1])
            self._graphs[request].replay()
            counts.update(self._terms[request])
        sums = {name: float(self.sums[name]) for name in counts}
        for total in self.sums.values():
            total.zero_()
        return sums, counts

    def _bring(self, index_B: Tensor, request: SignalRequest) -> None:
        """Let a source that brings whole batches put the next one into place."""
        if self.staged is not None and not request.nothing:
            self.staged.bring(index_B, request)

    def _begin(self, index_B: Tensor, request: SignalRequest) -> None:
        if self.staged is not None and not request.nothing:
            self.staged.begin(index_B, request)

    def _plan(self, first: int, count: int) -> Tensor:
        """Write what the steps from `first` on need, which the host copies at once. Gives the windows (count,B)."""
        loop = self.loop
        table = torch.zeros(self.table.shape)
        index = torch.zeros(self.index.shape, dtype=torch.int64)
        for row, step in enumerate(range(first, first + count)):
            factor = lr_factor(step, loop.recipe.warmup_steps, loop.total_steps)
            average = WeightAverage.weight(step + 1)
            rates = (base * factor for base in loop.base_lrs)
            table[row] = torch.tensor([*loop.objective.loss_weights(step), average, *rates], dtype=torch.float64)
            index[row] = loop.batch_index(step)
        self.table.copy_(table)
        self.index.copy_(index)
        self.row.zero_()
        return index[:count]

    def _captured(self, request: SignalRequest) -> Graph:
        held, sums = Held(self.loop), {name: value.clone() for name, value in self.sums.items()}
        try:
            return self.capture(lambda: self._body(request), WARM_UP)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers and drivers raise what they like
            raise CaptureError(first_line(error)) from error
        finally:
            held.put_back()
            self._rewind(sums)

    def _rewind(self, sums: dict[str, Tensor]) -> None:
        for name, total in self.sums.items():
            total.zero_() if name not in sums else total.copy_(sums[name])
        self.row.zero_()

    def _body(self, request: SignalRequest) -> None:
        """One step, as tensors alone."""
        loop, recipe = self.loop, self.loop.recipe
        row = self.table.index_select(0, self.row)[0]
        for rate, value in zip(self.rates, row[RATES:], strict=True):
            rate.copy_(value)
        index = self.index.index_select(0, self.row)[0]
        whole = self.windows.index_select(0, index)
        targets = (whole[:, 1:] != loop.pad_id).sum().clamp_min(1)
        gradients: list[Tensor | None] = [None] * len(self.trained)
        start = 0
        for tokens in whole.tensor_split(recipe.accumulate):
            place = slice(start, start + len(tokens))
            start = place.stop
            share = (tokens[:, 1:] != loop.pad_id).sum() / targets
            with loop.computing():
                batch = WindowBatch("train", index[place], tokens, place, len(whole))
                terms = loop.objective.terms(loop.model, batch, request, row[ALPHA], row[BETA], self.way)
            made = torch.autograd.grad(terms.total * share, self.trained, allow_unused=True)
            gradients = [_sum(old, new) for old, new in zip(gradients, made, strict=True)]
            self._terms[request] = tuple(terms.named())
            for name, value in terms.named().items():
                if name not in self.sums:
                    self.sums[name] = torch.zeros((), device=loop.device)
                self.sums[name].add_(value * share)
        for parameter, gradient in zip(self.trained, gradients, strict=True):
            parameter.grad = gradient if gradient is None else _like(gradient, parameter)
        loop.apply_gradients()
        if loop.average is not None:
            loop.average.take(row[AVERAGE])
        self.row.add_(1)


def states_for(loop: Training) -> StatesOf:
    """The hidden states of the loop's model: by its trunk, or by itself if its like is not known."""
    trunk = trunk_of(loop.model, loop.dtype, loop.train.shape[1])
    return hidden_states_of if trunk is None else lambda model, tokens_BT: trunk.states(tokens_BT)


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if old is None else old if new is None else old + new


def _like(gradient: Tensor, parameter: Tensor) -> Tensor:
    """`gradient` laid out as its parameter: `autograd.grad` promises no layout, and a fused optimiser walks over memory
    whatever the strides say."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


class Held:
    """What steps change in a loop, as it is now."""

    def __init__(self, loop: Training) -> None:
        self.loop = loop
        self.parameters = [parameter.detach().clone() for parameter in trained(loop)]
        self.moments = {key: value.clone() for key, value in _moments(loop)}
        self.average = [] if loop.average is None else [value.clone() for value in loop.average.values]
        self.step, self.tokens = loop.step, loop.tokens

    @torch.no_grad()
    def put_back(self) -> None:
        """Make it so again; moments that were not there begin at 0, as an optimiser makes them."""
        self.loop.optimizer.zero_grad(set_to_none=True)  # of a step that stopped in its middle
        for parameter, value in zip(trained(self.loop), self.parameters, strict=True):
            parameter.copy_(value)
        for key, moment in _moments(self.loop):
            moment.zero_() if key not in self.moments else moment.copy_(self.moments[key])
        if self.loop.average is not None:
            for value, before in zip(self.loop.average.values, self.average, strict=True):
                value.copy_(before)
        self.loop.step, self.loop.tokens = self.step, self.tokens


def trained(loop: Training) -> list[Tensor]:
    """What the optimiser moves, in its order."""
    return [parameter for group in loop.optimizer.param_groups for parameter in group["params"]]


def _moments(loop: Training) -> Iterable[tuple[tuple[int, str], Tensor]]:
    """The optimiser's tensors by number of the parameter and name."""
    state: Any = loop.optimizer.state
    for number, parameter in enumerate(trained(loop)):
        for name, value in state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield (number, name), value
