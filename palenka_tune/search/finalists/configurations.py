"""Which configurations are trained again with fresh seeds: the best trial of each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palenka_tune.trials.names import run_name, settings_name
from palenka_tune.trials.rows import TrialRow, best_of_arms


@dataclass(frozen=True)
class Configuration:
    """The best trial of an arm: its id, and its searched `settings` by their dotted names."""

    trial_id: str
    arm: str
    origin: str
    settings: Mapping[str, Any]

    def run_name(self, seed: int, mark: str = "") -> str:
        """The name in MLflow of the run with that seed."""
        return run_name(self.trial_id, settings_name(self.arm, self.origin, self.settings), seed=seed, mark=mark)


def run_key(trial_id: str, seed: int) -> str:
    """Our key of the MLflow run of a trial's settings with a fresh seed."""
    return f"finalist-{trial_id}-seed{seed}"


def configurations(rows: Sequence[TrialRow]) -> list[Configuration]:
    """The best trial of each arm by val_ce, in the order of the arms; none of an arm without a finished trial."""
    best = best_of_arms(rows).values()
    return [Configuration(row.trial_id, row.arm, row.origin, row.settings) for row in best]
