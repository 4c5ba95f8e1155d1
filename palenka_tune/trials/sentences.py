"""What is printed when the trials of a search have ended: models side by side, and the best of each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from palenka_tune.trials.arms import Arm
from palenka_tune.trials.evidence import Twins
from palenka_tune.trials.metrics import VAL_CE
from palenka_tune.trials.names import settings_name
from palenka_tune.trials.rows import TrialRow
from palenka_tune.words import percent, perplexity


def models_table(models: Sequence[Mapping[str, Any]]) -> Table:
    """Students and teachers as `evaluation.json` has them."""
    suites = list(dict.fromkeys(name for model in models for name in model["suites"]))
    table = Table(title="the best of each arm, and the teachers", title_justify="left")
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


def leader(best: Mapping[str, TrialRow], objective: str = VAL_CE) -> str:
    """What led the trials, in sentences, beside the best of the other arms: one seed each, and no verdict yet."""
    ordered = sorted(best.values(), key=lambda row: row.ce)
    if objective != VAL_CE or not ordered:
        return ""
    first, *others = ordered
    apart = "; ".join(f"{row.arm} {row.ce:.4f} ({row.ce - first.ce:+.4f}, {row.trial_id})" for row in others)
    beside = f". Best of the other arms: {apart}" if others else ""
    return (
        f"{first.trial_id} ({settings_name(first.arm, first.origin, first.settings)}) led the trials with val/ce "
        f"{first.ce:.4f} nats per token, one seed{beside}."
    )


def exhausted_sentence(arm: Arm, size: int, ran: int) -> str:
    """Why an arm has fewer trials than samples, such as `hidden: its space holds 3 settings, ...`."""
    held = "1 setting, which was tried" if size == 1 else f"{size:,} settings, all of them tried"
    return f"{arm.name}: its space holds {held}; {ran:,} of {arm.samples:,} samples ran"


def twins_sentence(found: Twins) -> str:
    """What twins of two arms say, such as `Of 4 pairs with equal settings hidden is better than logits in 3 ...`."""
    amounts = ", ".join(f"{difference:+.4f}" for _, _, difference in found.pairs)
    pairs = f"{len(found.pairs)} pair{'s' if len(found.pairs) > 1 else ''} with equal settings"
    p = "" if found.p is None else f" (sign test: p = {found.p:.2g})"
    return (
        f"Of {pairs} and seed, {found.a} is better than {found.b} in {found.better} and worse in {found.worse}{p}: "
        f"{amounts} nats per token."
    )
