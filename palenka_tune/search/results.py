"""What a search leaves behind as tables: `trials.parquet`, `summary.json`, and the table that is printed at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from palenka_tune.config.files import atomic_path, write_json
from palenka_tune.errors import PalenkaError
from palenka_tune.search.ledger import COMPLETE, FAILED, PRUNED, TERMS, best_first
from palenka_tune.search.space import Space, label


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


def best_row(rows: Sequence[Mapping[str, Any]], objective: str = "val/ce") -> Mapping[str, Any]:
    """The COMPLETE trial with the lowest `objective`; raises `PalenkaError` if there is none."""
    best = best_first(rows, objective)
    if not best:
        reasons = sorted({str(row["reason"]) for row in rows if row["reason"]}) or ["no trial was run"]
        raise PalenkaError(f"no trial was trained to the end ({reasons[0]}); see trials.parquet for each reason")
    return best[0]


def anchor_row(rows: Sequence[Mapping[str, Any]], anchor: str) -> Mapping[str, Any] | None:
    """The row of an anchor, if it was trained to the end."""
    found = [row for row in rows if row["anchor"] == anchor and row["state"] == COMPLETE]
    return found[0] if found else None


def write_summary(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    objective: str = "val/ce",
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


def describe_values(values: Mapping[str, Any]) -> str:
    """Settings on one line, such as `alpha=1.2 beta=3.1 temperature=2 rank=64`."""
    parts = []
    for name, value in values.items():
        shown = (
            f"{value:.3g}" if isinstance(value, float) else "full" if name.endswith("rank") and value is None else value
        )
        parts.append(f"{name.removeprefix('projection.')}={shown}")
    return " ".join(parts)


def perplexity(ce: float) -> float:
    """exp(cross-entropy), capped where it overflows a float."""
    return math.exp(min(ce, 700.0))
