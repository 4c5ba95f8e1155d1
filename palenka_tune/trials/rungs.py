"""Asynchronous successive halving: the steps at which trials report, and who goes on from each (Li et al. 2020).

Ray has a scheduler for this (`AsyncHyperBandScheduler`), which keeps its rungs in private state that a restored search
does not get back. Here they are rebuilt from the ledger, and decide as Ray's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np


def rung_steps(total_steps: int, rungs: int, reduction: int) -> list[int]:
    """At most `rungs` rungs, each `reduction` times later than the one before, then the last step."""
    first = max(1, -(-total_steps // reduction**rungs))
    steps = {first * reduction**k for k in range(rungs)}
    return [*sorted(step for step in steps if step < total_steps), total_steps]


class Rungs:
    """The values of all trials at each rung. Of `steps`, as `rung_steps` gives them, the last one judges nobody."""

    def __init__(self, steps: Iterable[int], reduction: int) -> None:
        self.reduction = reduction
        self.values: dict[int, dict[str, float]] = {step: {} for step in [*steps][:-1]}

    def goes_on(self, trial_id: str, step: int, value: float) -> bool:
        """Record `value` (lower is better) and say whether it is among the best 1/`reduction` of the rung so far.

        The first at a rung goes on. A trial that reports a rung again, after a restart, is judged by the others.
        """
        if step not in self.values:
            return True
        rung = self.values[step]
        # negated and from above, as Ray has it, so that rounding decides ties alike
        others = [-known for name, known in rung.items() if name != trial_id]
        rung[trial_id] = value
        return not others or -value >= float(np.percentile(others, (1 - 1 / self.reduction) * 100))

    def restore(self, curves: Mapping[str, Mapping[int, float]]) -> None:
        """Take in what trials of an earlier process reported: {trial_id: {step: value}}."""
        for trial_id, curve in curves.items():
            for step, value in curve.items():
                if step in self.values:
                    self.values[step][trial_id] = value
