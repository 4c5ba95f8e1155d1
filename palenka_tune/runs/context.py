"""Where a search runs and what it tells its progress to, handed through all its stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from palenka_tune.data.prepare import PreparedData
from palenka_tune.evaluation.suites import SuiteChoice
from palenka_tune.tracking.tracker import Tracker


@dataclass(frozen=True)
class Context:
    """A search's run `folder` and `storage`, its data, the minimal pairs to score on, its MLflow `tracker`
    and the `console` for tables."""

    folder: Path
    storage: Path
    prepared: PreparedData
    suites: tuple[SuiteChoice, ...]
    tracker: Tracker
    console: Console
