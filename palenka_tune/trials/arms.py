"""The anchors: the two students that every search trains besides its proposals, and what they are called."""

from __future__ import annotations

ANCHOR = "anchor"  # attribute of an Optuna trial: the anchor that it is
ANCHORS = {"no_distillation": "no distillation", "vanilla_kd": "vanilla KD"}


def anchor_values(alpha: float) -> dict[str, dict[str, float]]:
    """The settings of each anchor; vanilla KD keeps the fixed `alpha`, or 1 where that is 0."""
    return {"no_distillation": {"alpha": 0.0, "beta": 0.0}, "vanilla_kd": {"alpha": alpha or 1.0, "beta": 0.0}}
