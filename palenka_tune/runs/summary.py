"""`summary.json`: what a search found, for programs, as far as it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.config.files import write_json
from palenka_tune.trials.arms import ANCHORS
from palenka_tune.trials.rows import TrialRow, anchor_row, best_first, budget_of, counts_of

SUMMARY, EVALUATION = "summary.json", "evaluation.json"


def write_summary(
    path: Path,
    rows: Sequence[TrialRow],
    *,
    objective: str = "val_ce",
    total_steps: int,
    wall_seconds: float,
    mlflow: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Write and return `summary.json`; `best` is None as long as no trial was trained to the end."""
    best = next(iter(best_first(rows, objective)), None)
    anchors = {name: anchor_row(rows, name) for name in ANCHORS}
    summary = {
        "objective": {"metric": objective, "mode": "min", "unit": "nats per token"},
        "best": best
        and {"trial_id": best.trial_id, "anchor": best.anchor, "params": best.settings, "val_ce": best.val_ce},
        "baselines": {name: {"val_ce": row.val_ce if row else None} for name, row in anchors.items()},
        "counts": counts_of(rows),
        "budget": budget_of(rows, total_steps),
        "wall_seconds": round(wall_seconds, 1),
        "mlflow": dict(mlflow),
        **extra,
    }
    write_json(path, summary)
    return summary
