"""Stopping rules by name: which trials continue from a rung, and which paused ones continue later.

A new rule is a class and an entry of `STOPPING_RULES`. A rule knows nothing of Ray: `search.tune.scheduler` asks it at
every rung, the ledger before it proposes anything new. It is rebuilt from the ledger when a search is resumed, so all
that it decides by must come from what trials report.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol


class StoppingRule(Protocol):
    """Judges the trials of one arm at the rungs by val_ce, in nats per token; lower is better."""

    name: ClassVar[str]
    """As people call it; empty for a rule that stops no trial."""

    def __init__(self, steps: Sequence[int], reduction: int) -> None: ...

    def report(self, trial_id: str, step: int, value: float) -> None:
        """Record what a trial reports at `step`; the first value of a step counts."""
        ...

    def continues(self, trial_id: str, step: int) -> bool:
        """Whether a trial that has reported at `step` trains on."""
        ...

    def promoted(self, paused: Mapping[str, int]) -> str | None:
        """Of the `paused` trials, {trial_id: step}, the one that may train on by now, if any."""
        ...


class SuccessiveHalving:
    """Asynchronous successive halving (ASHA, Li et al. 2020): the best 1/`reduction` of each rung so far continue.

    A trial that does not is paused: as the rung fills, it may come to be among the best after all, and then continues
    from its checkpoint. Of `steps`, as `rung_steps` gives them, the last one pauses no trial.
    """

    name: ClassVar[str] = "ASHA"

    def __init__(self, steps: Sequence[int], reduction: int) -> None:
        self.reduction = reduction
        self.values: dict[int, dict[str, float]] = {step: {} for step in steps[:-1]}

    def report(self, trial_id: str, step: int, value: float) -> None:
        if step in self.values:
            self.values[step].setdefault(trial_id, value)

    def continues(self, trial_id: str, step: int) -> bool:
        """Whether the trial is among the best 1/`reduction` of the rung, of which there is always one."""
        rung = self.values.get(step)
        if rung is None or trial_id not in rung:
            return True
        best = sorted(rung, key=lambda name: (rung[name], name))
        return trial_id in best[: max(1, len(rung) // self.reduction)]

    def promoted(self, paused: Mapping[str, int]) -> str | None:
        """The latest rung comes first, then the lowest val_ce."""
        ready = [name for name, step in paused.items() if self.continues(name, step)]
        return min(ready, key=lambda name: (-paused[name], self._value(name, paused[name]), name), default=None)

    def _value(self, trial_id: str, step: int) -> float:
        return self.values.get(step, {}).get(trial_id, 0.0)


class NoStopping:
    """Every trial is trained to its end; at rungs it only reports."""

    name: ClassVar[str] = ""

    def __init__(self, steps: Sequence[int], reduction: int) -> None:
        pass

    def report(self, trial_id: str, step: int, value: float) -> None:
        pass

    def continues(self, trial_id: str, step: int) -> bool:
        return True

    def promoted(self, paused: Mapping[str, int]) -> str | None:
        return min(paused, default=None)


# of the rungs' steps and the reduction; `search.stopping` names one
STOPPING_RULES: dict[str, type[StoppingRule]] = {
    "asha": SuccessiveHalving,
    "none": NoStopping,
}


def stopping_text(stopping: str, rungs: Sequence[float], reduction: int) -> str:
    """What a search does with trials that fall behind, such as `ASHA pauses all but the best 1/2 of an arm at each
    rung, 25 % and 50 % of the steps`; empty if it trains all to their ends."""
    name = STOPPING_RULES[stopping].name
    if not name or not rungs:
        return ""
    shares = " and ".join(f"{100 * share:g} %" for share in rungs)
    return f"{name} pauses all but the best 1/{reduction} of an arm at each rung, {shares} of the steps"


def expected_share(steps: Sequence[int], stopping: str, reduction: int) -> float:
    """Which share of its steps a trial that may be paused trains on average, if 1/`reduction` of them pass each rung of
    `steps` (as `rung_steps` gives them)."""
    if not STOPPING_RULES[stopping].name or not steps:
        return 1.0
    parts = itertools.pairwise([0, *steps])
    return sum((end - begin) / reduction**passed for passed, (begin, end) in enumerate(parts)) / steps[-1]
