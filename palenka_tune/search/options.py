"""Where and how a search runs, as the command line gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SearchOptions:
    """Where and how a search runs; nothing here changes what a trial trains.

    `concurrent` and `gpus_per_trial` None: chosen from the cluster. `minimal_pairs` None: the corpus' own, if any.
    With `resume` the search `name` goes on (None: the one that ran last); `samples` then asks for more trials,
    `finalists` and `seeds` for other finalists. `resume_or_start` is `resume` if the search `name` was begun.
    `push_to_hub` is the repository, OWNER/NAME, that `best/` is sent to.
    """

    name: str | None = None
    storage: str = "./palenka_runs"
    concurrent: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    minimal_pairs: str | None = None
    study_storage: str | None = None
    resume: bool = False
    resume_or_start: bool = False
    samples: int | None = None
    finalists: int | None = None
    seeds: int | None = None
    push_to_hub: str | None = None
    quiet: bool = False
    dry_run: bool = False

    @property
    def again(self) -> dict[str, Any]:
        """What a search that goes on is asked for beyond what it was started with: {search setting: value}."""
        given = {"samples": self.samples, "finalists": self.finalists, "seeds": self.seeds}
        return {name: value for name, value in given.items() if value is not None}
