"""The options of a search: what the command takes, and the keywords of `search.run`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from palenka_tune.config.options import flag, option
from palenka_tune.runs.place import CHANGED_BY_RESUME, NEEDED_BY_RESUME
from palenka_tune.spaces.options import RayOptions, SpaceOptions


@dataclass(frozen=True, kw_only=True)
class SearchOptions(RayOptions, SpaceOptions):
    """Every option of a search: `SpaceOptions` say what it trains, the others where and how. Of the former, `resume`
    takes more `samples`, and other `seeds`."""

    resume: bool = flag("resume the search --name (default: the one that ran last): finished work is not run again")
    resume_or_start: bool = flag(
        "resume the search --name if it exists, else start it: one command for a scheduler that may run it again"
    )
    promote: int | None = option(
        "with --resume, of a finished search: train its N best paused trials to their ends, and decide anew", "N"
    )
    discard_checkpoints: bool = flag(
        "at the end, delete what more samples and promoted trials of a finished search would continue from"
    )
    name: str | None = option("the run's name (default: the space and the time)")
    concurrent: int | None = option("trials at a time (default: one per CPU core, or what GPUs hold)", "N")
    gpus_per_trial: float | None = option("share of a GPU for each trial, from 0 to 1 (default: from its memory)", "X")
    minimal_pairs: str | None = option(
        "a BLiMP-format folder to score the models on (default: the corpus' own, if any)", "DIR"
    )
    study_storage: str | None = option(
        "a database for the study, such as postgresql://user@host/db (default: a file in the run's folder; the "
        "environment variable PALENKA_STUDY_STORAGE may hold a URL with a password)",
        "URL",
    )
    push_to_hub: str | None = option(
        "at the end, send the best student to the Hugging Face hub (needs HF_TOKEN or a saved login)", "OWNER/NAME"
    )
    register: str | None = option(
        "at the end, make the best student a version of that model in MLflow's registry, as its champion if it is "
        "better on the same data, else as a challenger; with --resume, of a finished search too",
        "NAME",
    )
    plain: bool = flag("a line per finished trial on a terminal too, no live view")
    dry_run: bool = flag("check everything and print the plan")

    @property
    def again(self) -> dict[str, Any]:
        """What a resumed search is asked for beyond its first configuration: {search setting: value}."""
        return self._given(CHANGED_BY_RESUME)

    @property
    def place(self) -> dict[str, Any]:
        """Options that a resumed search needs as before: {option: value}. No password can be among them."""
        return {f"--{name.replace('_', '-')}": value for name, value in self._given(NEEDED_BY_RESUME).items()}

    def _given(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
