"""Schedules over a run's steps: the loss weights' and the learning rate's. Pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

WARMUP_FRACTION = 0.2

# (progress, until), both in [0, 1] -> factor in [0, 1]
WEIGHT_SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda progress, until: 1.0,
    "linear_decay": lambda progress, until: 1.0 - progress,
    "cosine_decay": lambda progress, until: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "warmup": lambda progress, until: min(1.0, progress / WARMUP_FRACTION),
    "hint": lambda progress, until: float(progress < until),
}


def weight_at(base: float, schedule: str, step: int, total_steps: int, until: float = 1.0) -> float:
    """The loss weight at `step` of `total_steps`: `base` times the schedule's factor.

    `warmup` rises linearly over the first fifth of the run. `hint` is on for the share `until` of the run, then off: a
    hint for the first steps, after FitNets (Romero et al. 2015).
    """
    return base * WEIGHT_SCHEDULES[schedule](step / max(1, total_steps), until)


def lr_factor(step: int, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up, then cosine decay to 0 (the factor of the step that is about to be taken)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
