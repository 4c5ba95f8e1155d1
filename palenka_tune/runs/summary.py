"""`summary.json`: what a search found, for programs, as far as it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.config.files import write_json
from palenka_tune.trials.arms import ARMS
from palenka_tune.trials.evidence import TWINS, early_looks, expected_best, random_values, twins
from palenka_tune.trials.rows import TrialRow, best_first, best_of_arms, budget_of, counts_of

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
    summary = {
        "objective": {"metric": objective, "mode": "min", "unit": "nats per token"},
        "best": best and _trial(best, objective),
        "arms": _arms(rows, objective),
        "fidelity": {"rungs": [each.to_dict() for each in early_looks(rows, total_steps)]},
        "twins": [twins(rows, a, b).to_dict() for a, b in TWINS],
        "counts": counts_of(rows),
        "budget": budget_of(rows, total_steps),
        "wall_seconds": round(wall_seconds, 1),
        "mlflow": dict(mlflow),
        **extra,
    }
    write_json(path, summary)
    return summary


def _trial(row: TrialRow, objective: str) -> dict[str, Any]:
    """A trial as `summary.json` names it."""
    known = {"trial_id": row.trial_id, "arm": row.arm, "origin": row.origin, "params": row.settings}
    return {**known, "val_ce": row.val_ce, objective: getattr(row, objective)}


def _arms(rows: Sequence[TrialRow], objective: str) -> dict[str, Any]:
    """Each arm of the search: its trials, the best of them, and the expected best of n random ones."""
    best = best_of_arms(rows, objective)
    found = {}
    for arm in ARMS:
        own = [row for row in rows if row.arm == arm]
        if own:
            random = random_values(own, arm)
            found[arm] = {
                "trials": len(own),
                "best": _trial(best[arm], objective) if arm in best else None,
                "expected_best": [round(value, 5) for value in expected_best(random, len(random))],
            }
    return found
