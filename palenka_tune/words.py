"""How figures and settings are written wherever a person reads them: terminal, report, MLflow, model cards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


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


def clock(seconds: float) -> str:
    """`7 s`, `4 min`, `3 h 05 min`, `2 days 4 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A number with its noun: `1 trial`, `2,048 trials`; `many` is a plural that takes more than an s."""
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def percent(accuracy: float, stderr: float | None) -> str:
    """An accuracy as tables show it, such as `53.0 ± 0.2`."""
    return f"{100 * accuracy:.1f}" + ("" if stderr is None else f" ± {100 * stderr:.1f}")


def saved(budget: Mapping[str, Any]) -> str:
    """The share of the steps that stopping early saved, such as `26 % of the steps saved`."""
    return f"{100 * (budget['saved_fraction'] or 0):.0f} % of the steps saved"


def counted(counts: Mapping[str, int]) -> str:
    """How the trials ended, such as `3 complete, 2 stopped early, 0 failed`."""
    return ", ".join(f"{count} {'stopped early' if state == 'pruned' else state}" for state, count in counts.items())


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table in Markdown whose first `left` columns are text and whose others are figures."""
    lines = [header, ["---"] * left + ["---:"] * (len(header) - left), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
