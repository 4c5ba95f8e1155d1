"""Where and how a search runs, as the command line gives it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLACE = "place"  # attribute of the study: `SearchOptions.place` of its last process


@dataclass(frozen=True)
class SearchOptions:
    """Where and how a search runs; nothing here changes what a trial trains.

    `concurrent` and `gpus_per_trial` None: chosen from the cluster. `minimal_pairs` None: the corpus' own, if any.
    With `resume` the search `name` goes on (None: the one that ran last); `samples` then asks for more trials,
    `finalists` and `seeds` for other finalists. `resume_or_start` is `resume` if the search `name` was begun.
    `push_to_hub` is the repository, OWNER/NAME, that `best/` is sent to, `register` the model in MLflow's registry that
    gets it as a version. `plain` writes lines to a terminal too.
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
    register: str | None = None
    quiet: bool = False
    plain: bool = False
    dry_run: bool = False

    @property
    def again(self) -> dict[str, Any]:
        """What a search that goes on is asked for beyond what it was started with: {search setting: value}."""
        given = {"samples": self.samples, "finalists": self.finalists, "seeds": self.seeds}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def place(self) -> dict[str, Any]:
        """Options that a search which goes on needs again: {option: value}. No password can be among them."""
        more = {
            "--address": self.address,
            "--study-storage": self.study_storage,
            "--concurrent": self.concurrent,
            "--gpus-per-trial": self.gpus_per_trial,
            "--minimal-pairs": self.minimal_pairs,
            "--push-to-hub": self.push_to_hub,
            "--register": self.register,
        }
        return {name: value for name, value in more.items() if value is not None}


def resume_command(name: str, storage: str, more: Mapping[str, Any]) -> str:
    """What a person types to go on with the search `name`; `more` are `SearchOptions.place`."""
    parts = ["python", "-m", "palenka_tune.search", "--resume", "--name", name, "--storage", storage]
    return shlex.join([*parts, *(part for option, value in more.items() for part in (option, str(value)))])
