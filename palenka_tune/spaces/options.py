"""Options that say what is trained, and those that all commands share. Each is defined here or in
`palenka_tune.search.options`, and nowhere else: see `palenka_tune.config.options`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palenka_tune.config.options import flag, option, settings_of
from palenka_tune.spaces.poster_method import METHODS, method_settings
from palenka_tune.storage.mirror import DEFAULT_STORAGE


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The data and the scale."""

    data: str | None = option(
        "a folder in BabyLM layout, a Hugging Face dataset id, or babytalk, the built-in corpus (the default)",
        "DIR|babytalk|OWNER/NAME",
        setting="data.source",
    )
    scale: str | None = option(
        "how large: tiny (two cores, minutes), small (one GPU) or poster (default: tiny)", "NAME", setting="scale"
    )


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions(DataOptions):
    """What shapes one model."""

    seed: int | None = option(
        "seed of everything random but the teachers, which have their own (default: 0)", "N", setting="seed"
    )
    settings: Mapping[str, Any] = option(
        "set any setting, such as --set beta=3 --set projection.rank=64 (repeatable)", "NAME=VALUE", default=dict
    )


class More(int):
    """A number that was written `+N`: so many more."""


def more(text: str) -> int:
    """`6`, or `+6` as `More`."""
    try:
        return More(text) if text.startswith("+") else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: '{text}'") from None


@dataclass(frozen=True, kw_only=True)
class SpaceOptions(ExperimentOptions):
    """What shapes a search."""

    samples: int | None = option(
        "trials to propose, shared out over the arms, besides the fixed setting of each; with --resume +N are N more "
        "(default: the space's)",
        "N|+N",
        setting="search.samples",
        type=more,
    )
    seeds: int | None = option(
        "fresh seeds with which the best of each arm is trained again; 0: not (default: the space's, 5)",
        "S",
        setting="search.seeds",
    )
    method: str | None = option(
        "the poster's: as_published keeps its three faults, to see what they do (default: as the space says)",
        choices=list(METHODS),
    )
    cache_budget: float | None = option(
        "disk for the teachers' outputs, in GB (default: what is free)", "GB", setting="cache.budget_gb"
    )
    teachers_online: bool = flag("run the teachers on every batch instead of keeping their outputs")

    def as_settings(self) -> dict[str, Any]:
        """{dotted path: value} of all that was asked for but `settings`; None for what was not."""
        online = {"cache.form": "online"} if self.teachers_online else {}
        return {**settings_of(self), **online, **(method_settings(self.method) if self.method else {})}


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """Where a command keeps its work, and how much it prints."""

    storage: str = option(
        "where runs and artifacts are kept: a folder that all nodes see, or a URL (file:///folder too), of which each "
        f"node keeps a copy in PALENKA_SCRATCH (default: {DEFAULT_STORAGE})",
        "DIR|s3://...|gs://...",
        default=DEFAULT_STORAGE,
    )
    quiet: bool = flag("print the result only")


@dataclass(frozen=True, kw_only=True)
class RayOptions(StorageOptions):
    """Where a command works, and keeps its work."""

    address: str | None = option("a running Ray cluster (default: start Ray on this machine)", "HOST:PORT")
