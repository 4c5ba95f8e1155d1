"""How a model is trained: the settings that a teacher's and a student's recipe share (standard library only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from palenka_tune.errors import UserError
from palenka_tune.limits import Limits, Strict, check_fields

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Step = Literal["auto", "eager"]


@dataclass(frozen=True)
class Recipe(Strict):
    """AdamW with linear warm-up and cosine decay to zero.

    `lr` is the highest learning rate, reached after `warmup_steps`; `weight_decay`, `beta1` and `beta2` are AdamW's.
    `epochs` may be a fraction. `grad_clip` is the largest norm of a step's gradient. `batch_size` counts windows per
    optimiser step over all workers; `accumulate` splits it into micro-batches. `precision` `auto` is bfloat16 on
    a GPU or a CPU that has instructions for it, float16 on other GPUs and float32 on other CPUs; weights are always
    float32. `step` `auto` repeats a student's steps as one CUDA graph on a GPU that has shown to give the same with it;
    `eager` takes them one operation after another, as everywhere else.
    """

    lr: Annotated[float, Limits(ge=0)] = 1e-3
    batch_size: Annotated[int, Limits(ge=1)] = 32
    epochs: Annotated[float, Limits(gt=0, le=10**6)] = 1.0
    warmup_steps: Annotated[int, Limits(ge=0)] = 20
    weight_decay: Annotated[float, Limits(ge=0)] = 0.1
    beta1: Annotated[float, Limits(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Limits(ge=0, lt=1)] = 0.98
    grad_clip: Annotated[float, Limits(gt=0)] = 1.0
    accumulate: Annotated[int, Limits(ge=1)] = 1
    precision: Precision = "auto"
    step: Step = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.batch_size % self.accumulate:
            raise UserError(f"batch_size {self.batch_size} must be divisible by accumulate {self.accumulate}")
