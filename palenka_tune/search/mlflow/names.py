"""MLflow's names of our metrics: `val_ce` is `val/ce` there, an accuracy is `eval/SUITE`.

A sum of weighted terms is called a diagnostic: no two settings share its scale.
"""

from __future__ import annotations

from collections.abc import Mapping

from palenka_tune.trials.metrics import METRICS

DIAGNOSTICS = {"val_total": "diagnostics/val_total"}
TRAIN_LOSS = "diagnostics/train_loss"


def metric_names(values: Mapping[str, float | None]) -> dict[str, float]:
    """What was measured of a model, by MLflow's names: a metric, `train/...` as it is, else the accuracy on a suite."""
    return {_name(name): value for name, value in values.items() if value is not None}


def _name(name: str) -> str:
    if name in DIAGNOSTICS:
        return DIAGNOSTICS[name]
    if name in METRICS:
        return name.replace("_", "/", 1)
    return name if "/" in name else f"eval/{name.replace(' ', '_')}"
