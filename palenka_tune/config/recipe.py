"""How a model is trained: the settings that a teacher's and a student's recipe share (standard library only)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from palenka_tune.errors import UserError

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Recipe:
    """AdamW with linear warm-up and cosine decay to zero.

    `lr` is the highest learning rate, reached after `warmup_steps`; `weight_decay`, `beta1` and `beta2` are AdamW's.
    `epochs` may be a fraction. `grad_clip` is the largest norm of a step's gradient. `batch_size` counts windows per
    optimiser step over all workers; `accumulate` splits it into micro-batches. `precision` `auto` is bfloat16 autocast
    on a GPU that has it and float32 elsewhere.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    lr: float = 1e-3
    batch_size: int = 32
    epochs: float = 1.0
    warmup_steps: int = 20
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    grad_clip: float = 1.0
    accumulate: int = 1
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in ("lr", "warmup_steps", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 0 or more, and finite")
        for name in ("batch_size", "epochs", "grad_clip", "accumulate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0, and finite")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be in [0, 1)")
        if self.epochs > 1e6:
            raise UserError(f"epochs is {self.epochs:g}; it must be 1,000,000 or less")
        if self.batch_size % self.accumulate:
            raise UserError(f"batch_size {self.batch_size} must be divisible by accumulate {self.accumulate}")
