"""What is printed when the trials of a search have ended: models side by side, and the best against the anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from palenka_tune.words import percent, perplexity


def models_table(models: Sequence[Mapping[str, Any]]) -> Table:
    """Student, anchors and teachers as `evaluation.json` has them."""
    suites = list(dict.fromkeys(name for model in models for name in model["suites"]))
    table = Table(title="student, anchors and teachers", title_justify="left")
    table.add_column("model")
    table.add_column("role")
    for column in ("parameters", "val/ce (nats/token)", "val/ppl", *(f"{suite} (%)" for suite in suites)):
        table.add_column(column, justify="right")
    for model in models:
        ce, scores = model["val_ce"], [model["suites"][suite] for suite in suites]
        table.add_row(
            *(model["name"], model["role"], f"{model['parameters']:,}", f"{ce:.4f}", f"{perplexity(ce):.2f}"),
            *(percent(score["accuracy"], score["stderr"]) for score in scores),
        )
    return table


def comparison(best: float, baselines: Mapping[str, float | None]) -> str:
    """The result in a sentence, against both anchors, whichever way it went."""
    parts = []
    for name, value in baselines.items():
        if value is None:
            parts.append(f"{name} did not finish")
        else:
            verb = "lower than" if best < value else "higher than"
            apart = f"{abs(best - value):.4f} {verb}" if best != value else "equal to"
            parts.append(f"{apart} {name} ({value:.4f})")
    return f"best val/ce {best:.4f} nats per token: " + ", ".join(parts)
