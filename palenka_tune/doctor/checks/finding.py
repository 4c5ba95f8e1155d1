"""What a check says, and words that several checks use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """What a check says: `found`, and for a warning or a fault the `fix` in one sentence."""

    state: State
    found: str
    fix: str = ""


good = partial(Finding, "ok")
warning = partial(Finding, "warning")
fault = partial(Finding, "fault")


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names for a sentence, no more than a few."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
