"""Where a search runs and whom it tells, handed through all its stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from palenka_tune.data.prepare import PreparedData
from palenka_tune.evaluation.choice import SuiteChoice
from palenka_tune.tracking.tracker import Tracker


@dataclass(frozen=True)
class Place:
    """Where a search runs and whom it tells: its folders, data, minimal pairs, MLflow, terminal."""

    folder: Path
    storage: Path
    prepared: PreparedData
    suites: tuple[SuiteChoice, ...]
    tracker: Tracker
    console: Console
    log: Callable[[str], None]
    started: float
