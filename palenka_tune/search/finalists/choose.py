"""Which configurations are trained again over seeds: both anchors, the best trials, and the best without its hidden
states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.trials.arms import anchor_values
from palenka_tune.trials.names import student_name
from palenka_tune.trials.rows import TrialRow, best_first
from palenka_tune.trials.verdict import WITHOUT


@dataclass(frozen=True)
class Configuration:
    """What is trained over seeds. `role` is `finalist` (a trial of the search), `anchor`, or `ablation` (a trial
    without its hidden states); `settings` are the searched ones by their dotted names."""

    name: str
    role: str
    settings: Mapping[str, Any]

    def run_name(self, seed: int) -> str:
        """The name in MLflow of the run with that seed."""
        return student_name(self.role, self.name, self.settings, seed)


def run_key(config: str, seed: int) -> str:
    """Our key of the MLflow run of a configuration with a seed."""
    return f"finalist-{config}-seed{seed}"


def asked_finalists(config: SearchConfig) -> dict[str, int]:
    """How many finalists and seeds are asked for."""
    return {"finalists": config.search.finalists, "seeds": config.search.seeds}


def configurations(config: SearchConfig, rows: Sequence[TrialRow]) -> list[Configuration]:
    """Both anchors, the best proposed trials by val_ce, and the best one's settings with beta = 0, which tell what its
    hidden states did; none if no proposed trial was trained to its end."""
    trials = [row for row in best_first(rows) if not row.anchor][: config.search.finalists]
    if not trials:
        return []
    anchors = anchor_values(config.experiment.distill.alpha)
    chosen = [Configuration(name, "anchor", values) for name, values in anchors.items()]
    chosen += [Configuration(row.trial_id, "finalist", row.settings) for row in trials]
    best = trials[0]
    without = {**best.settings, "beta": 0.0}
    if config.settings_of(best.settings)[0].beta and _plain(config, without) != _plain(config, anchors["vanilla_kd"]):
        chosen.append(Configuration(best.trial_id + WITHOUT, "ablation", without))
    return chosen


def changed_from_vanilla(config: SearchConfig, settings: Mapping[str, Any]) -> list[str]:
    """Settings besides those of the hidden states in which a trial differs from the vanilla KD anchor."""
    vanilla = anchor_values(config.experiment.distill.alpha)["vanilla_kd"]
    own, anchor = config.settings_of(settings).flat(), config.settings_of(vanilla).flat()
    hidden = ("beta", "hidden_gradient", "projection.")
    return [name for name, value in own.items() if value != anchor.get(name) and not name.startswith(hidden)]


def _plain(config: SearchConfig, settings: Mapping[str, Any]) -> tuple[DistillSettings, Recipe]:
    """Settings without what means nothing at beta = 0."""
    distill, recipe = config.settings_of(settings)
    idle = DistillSettings()
    without = {name: getattr(idle, name) for name in ("projection", "beta_schedule", "hidden_gradient")}
    return dataclasses.replace(distill, **without), recipe
