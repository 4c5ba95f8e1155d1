"""Rungs: the steps at which trials report and a stopping rule (`trials.stopping`) judges them."""

from __future__ import annotations

from collections.abc import Sequence


def rung_steps(total_steps: int, fractions: Sequence[float]) -> list[int]:
    """The steps at these fractions of a training, then its last step."""
    steps = {max(1, round(fraction * total_steps)) for fraction in fractions}
    return [*sorted(step for step in steps if step < total_steps), total_steps]
