"""Rungs: the steps at which trials report and a stopping rule (`trials.stopping`) judges them."""

from __future__ import annotations


def rung_steps(total_steps: int, rungs: int, reduction: int) -> list[int]:
    """At most `rungs` rungs, each `reduction` times later than the one before, then the last step."""
    first = max(1, -(-total_steps // reduction**rungs))
    steps = {first * reduction**k for k in range(rungs)}
    return [*sorted(step for step in steps if step < total_steps), total_steps]
