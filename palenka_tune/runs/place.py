"""What a search that is resumed is asked again: where it runs, and what it may be asked anew."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

PLACE = "place"  # attribute of the study: `SearchOptions.place` of its last process
CHANGED_BY_RESUME = ("samples", "seeds")
NEEDED_BY_RESUME = (
    "address",
    "study_storage",
    "concurrent",
    "gpus_per_trial",
    "minimal_pairs",
    "push_to_hub",
    "register",
)


def resume_command(name: str, storage: str, more: Mapping[str, Any]) -> str:
    """The command that resumes the search `name`; `more` are `SearchOptions.place`."""
    parts = ["python", "-m", "palenka_tune.search", "--resume", "--name", name, "--storage", storage]
    return shlex.join([*parts, *(part for option, value in more.items() for part in (option, str(value)))])
