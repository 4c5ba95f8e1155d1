"""The final comparison: best student, anchors and teachers on dev and on minimal pairs, as one table.

In go the models of a finished search; out come `evaluation.json` and the rows that are printed and logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.config.files import write_json
from palenka_tune.data.store import TokenStore
from palenka_tune.evaluation.minimal_pairs import (
    MinimalPairResults,
    TokenisedSuite,
    evaluate_suite,
    tokenise_suite,
)
from palenka_tune.evaluation.perplexity import cross_entropy
from palenka_tune.evaluation.suite import read_suite
from palenka_tune.models.build import count_parameters
from palenka_tune.search.results import perplexity


@dataclass(frozen=True)
class Score:
    """A model's row: its role (student, anchor, teacher), size, dev cross-entropy (nats per token), minimal pairs."""

    name: str
    role: str
    parameters: int
    val_ce: float
    pairs: MinimalPairResults | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "role": self.role,
            "parameters": self.parameters,
            "val_ce": self.val_ce,
            "minimal_pairs": self.pairs.to_dict() if self.pairs else None,
        }


def score(
    name: str,
    role: str,
    model: PreTrainedModel,
    *,
    store: TokenStore,
    dev: torch.Tensor,
    suite: TokenisedSuite | None,
) -> Score:
    """Measure one model on the dev windows and, if there is a suite, on its minimal pairs."""
    ce, _ = cross_entropy(model, dev.numpy(), store.pad_id)
    pairs = evaluate_suite(model, suite) if suite else None
    return Score(name, role, count_parameters(model), ce, pairs)


def score_all(
    models: Sequence[tuple[str, str, Callable[[], PreTrainedModel]]],
    tokenizer: PreTrainedTokenizerFast,
    *,
    store: TokenStore,
    dev: torch.Tensor,
    suite: Path | None,
    log: Callable[[str], None],
) -> list[Score]:
    """Score (name, role, loader) one after another, each loaded only while it is measured.

    The suite is read and tokenised once for all.
    """
    tokenised = tokenise_suite(tokenizer, read_suite(suite)) if suite else None
    scores = []
    for name, role, load in models:
        log(f"scoring {name} ({role})")
        scores.append(score(name, role, load(), store=store, dev=dev, suite=tokenised))
    return scores


def write_evaluation(path: Path, scores: Sequence[Score], suite: str | None) -> None:
    """Write `evaluation.json`."""
    write_json(path, {"suite": suite, "models": [score.to_dict() for score in scores]})


def table(scores: Sequence[Score], suite: str | None) -> Table:
    """The printed comparison."""
    shown = Table(title="student, anchors and teachers", title_justify="left")
    shown.add_column("model")
    shown.add_column("role")
    for column in ("parameters", "val/ce (nats/token)", "val/ppl", *([f"{suite} (%)"] if suite else [])):
        shown.add_column(column, justify="right")
    for row in scores:
        cells = [row.name, row.role, f"{row.parameters:,}", f"{row.val_ce:.4f}", f"{perplexity(row.val_ce):.2f}"]
        if suite:
            error = row.pairs.stderr if row.pairs else None
            accuracy = "" if row.pairs is None else f"{100 * row.pairs.accuracy:.1f}"
            cells.append(accuracy + (f" ± {100 * error:.1f}" if error is not None else ""))
        shown.add_row(*cells)
    return shown


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
