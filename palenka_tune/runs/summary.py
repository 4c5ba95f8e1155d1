"""What a search leaves behind as tables: `trials.parquet`, `summary.json`, and the table that is printed at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from palenka_tune.config.files import atomic_path, write_json
from palenka_tune.spaces.space import Space, label
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED, TERMS, anchor_row, best_first


def write_trials(path: Path, rows: Sequence[Mapping[str, Any]], space: Space) -> None:
    """A row per trial: id, state, anchor, every searched setting, values, steps, tokens, seconds, reason."""
    names = list(dict.fromkeys([*(p.name for p in space.parameters), *(n for row in rows for n in row["values"])]))
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in ("trial_id", "state", "anchor")}
    for name in names:
        columns[name] = _uniform([label(row["values"].get(name)) for row in rows])
    for key in ("val_ce", "val_ce_best", *TERMS, "steps", "tokens", "seconds", "reason"):
        columns[key] = [row[key] for row in rows]
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _uniform(values: list[Any]) -> list[Any]:
    """A column of one type: numbers stay numbers, a mix becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return [float(value) if kinds == {int, float} and value is not None else value for value in values]
    return [None if value is None else str(value) for value in values]


def write_summary(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    objective: str = "val_ce",
    total_steps: int,
    wall_seconds: float,
    mlflow: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Write and return `summary.json`; `best` is None as long as no trial was trained to the end."""
    best = next(iter(best_first(rows, objective)), None)
    run = sum(row["steps"] for row in rows)
    full = total_steps * len(rows)
    summary = {
        "objective": {"metric": objective, "mode": "min", "unit": "nats per token"},
        "best": best
        and {
            "trial_id": best["trial_id"],
            "anchor": best["anchor"],
            "params": best["values"],
            "val_ce": best["val_ce"],
        },
        "baselines": {
            name: {"val_ce": row["val_ce"] if row else None}
            for name in ("no_distillation", "vanilla_kd")
            for row in [anchor_row(rows, name)]
        },
        "counts": {state.lower(): sum(row["state"] == state for row in rows) for state in (COMPLETE, PRUNED, FAILED)},
        "budget": {
            "trial_steps_run": run,
            "trial_steps_full_grid": full,
            "saved_fraction": round(1 - run / full, 4) if full else 0.0,
        },
        "wall_seconds": round(wall_seconds, 1),
        "mlflow": dict(mlflow),
        **extra,
    }
    write_json(path, summary)
    return summary
