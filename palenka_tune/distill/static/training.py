"""What repeated steps need of a training loop: what `TrainingLoop` has, which this room does not import."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.average import WeightAverage
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.static.graph import Capture


class Training(Protocol):
    """The attributes mean what `TrainingLoop` says of them."""

    model: nn.Module
    objective: PlainObjective | DistillationObjective
    optimizer: torch.optim.AdamW
    recipe: Recipe
    average: WeightAverage | None
    train: Tensor
    dev: Tensor
    device: torch.device
    dtype: torch.dtype
    pad_id: int
    base_lrs: list[float]
    total_steps: int
    step: int
    tokens: int
    capture: Capture | None
    falls_back: bool

    def batch_index(self, step: int) -> Tensor: ...
    def computing(self) -> contextlib.AbstractContextManager[Any]: ...
    def apply_gradients(self) -> None: ...
    def take(self, count: int) -> dict[str, float]: ...
    def validate(self, *, teachers: bool, most: int | None) -> dict[str, float]: ...
    def forget_graphs(self) -> None: ...
