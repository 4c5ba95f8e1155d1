"""Stopping rules by name: which trials continue from a rung. A new rule is a class and an entry of `STOPPING_RULES`.

A rule knows nothing of Ray: `search.tune.scheduler` asks it at every rung. It is rebuilt from the ledger when a search
is resumed, so all that it decides by must come from what trials report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np


class StoppingRule(Protocol):
    """Judges trials at the rungs by val_ce, in nats per token; lower is better."""

    name: ClassVar[str]
    """As people call it; empty for a rule that stops no trial."""

    def __init__(self, steps: Sequence[int], reduction: int) -> None: ...

    def continues(self, trial_id: str, step: int, value: float) -> bool:
        """Record what a trial reports at `step` and say whether it continues."""
        ...

    def restore(self, curves: Mapping[str, Mapping[int, float]]) -> None:
        """Take in what trials of an earlier process reported: {trial_id: {step: value}}."""
        ...


class SuccessiveHalving:
    """Asynchronous successive halving (Li et al. 2020): the best 1/`reduction` of each rung so far continue.

    Of `steps`, as `rung_steps` gives them, the last one stops no trial. Ray has a scheduler for this
    (`AsyncHyperBandScheduler`), which keeps its rungs in private state that a restored search does not get back; this
    one decides as Ray's does.
    """

    name: ClassVar[str] = "ASHA"

    def __init__(self, steps: Sequence[int], reduction: int) -> None:
        self.reduction = reduction
        self.values: dict[int, dict[str, float]] = {step: {} for step in steps[:-1]}

    def continues(self, trial_id: str, step: int, value: float) -> bool:
        """Whether `value` is among the best 1/`reduction` of the rung so far.

        The first at a rung continues. A trial that reports a rung again, after a restart, is judged by the others.
        """
        if step not in self.values:
            return True
        rung = self.values[step]
        # negated and from above, as Ray has it, so that rounding decides ties alike
        others = [-known for name, known in rung.items() if name != trial_id]
        rung[trial_id] = value
        return not others or -value >= float(np.percentile(others, (1 - 1 / self.reduction) * 100))

    def restore(self, curves: Mapping[str, Mapping[int, float]]) -> None:
        for trial_id, curve in curves.items():
            for step, value in curve.items():
                if step in self.values:
                    self.values[step][trial_id] = value


class NoStopping:
    """Every trial is trained to its end; at rungs it only reports."""

    name: ClassVar[str] = ""

    def __init__(self, steps: Sequence[int], reduction: int) -> None:
        pass

    def continues(self, trial_id: str, step: int, value: float) -> bool:
        return True

    def restore(self, curves: Mapping[str, Mapping[int, float]]) -> None:
        pass


# of the rungs' steps and the reduction; `search.stopping` names one
STOPPING_RULES: dict[str, type[StoppingRule]] = {
    "asha": SuccessiveHalving,
    "none": NoStopping,
}


def stopping_text(stopping: str, rungs: int, reduction: int) -> str:
    """What a search does with trials that fall behind, such as `ASHA with 3 rungs, the best 1/3 continue`; empty if it
    trains all to their ends."""
    name = STOPPING_RULES[stopping].name
    if not name or not rungs:
        return ""
    return f"{name} with {rungs} rung{'s' if rungs > 1 else ''}, the best 1/{reduction} continue"
