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
from palenka_tune.evaluation.minimal_pairs import evaluate, tokenise
from palenka_tune.evaluation.perplexity import cross_entropy
from palenka_tune.evaluation.results import MinimalPairResults
from palenka_tune.evaluation.suite import Suite
from palenka_tune.models.build import count_parameters
from palenka_tune.search.results import perplexity


@dataclass(frozen=True)
class Score:
    """A model's row: its role (student, anchor, teacher), size, dev cross-entropy (nats per token), suites by name."""

    name: str
    role: str
    parameters: int
    val_ce: float
    suites: Mapping[str, MinimalPairResults]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `minimal_pairs` is the first suite."""
        suites = {name: results.to_dict() for name, results in self.suites.items()}
        return {
            "name": self.name,
            "role": self.role,
            "parameters": self.parameters,
            "val_ce": self.val_ce,
            "minimal_pairs": next(iter(suites.values()), None),
            "suites": suites,
        }


def score_all(
    models: Sequence[tuple[str, str, Callable[[], PreTrainedModel]]],
    tokenizer: PreTrainedTokenizerFast,
    *,
    store: TokenStore,
    dev: torch.Tensor,
    suites: Sequence[Suite],
    log: Callable[[str], None],
) -> list[Score]:
    """Score (name, role, loader) one after another, each loaded only while it is measured: on the dev windows, and on
    the suites, which are tokenised once for all."""
    tokenised = tokenise(tokenizer, suites)
    scores = []
    for name, role, load in models:
        log(f"scoring {name} ({role})")
        model = load()
        ce, _ = cross_entropy(model, dev.numpy(), store.pad_id)
        scores.append(Score(name, role, count_parameters(model), ce, evaluate(model, tokenised)))
    return scores


def write_evaluation(path: Path, scores: Sequence[Score]) -> None:
    """Write `evaluation.json`."""
    write_json(path, {"suites": suite_names(scores), "models": [score.to_dict() for score in scores]})


def suite_names(scores: Sequence[Score]) -> list[str]:
    """The suites on which models were scored, in order."""
    return list(dict.fromkeys(name for score in scores for name in score.suites))


def percent(accuracy: float, stderr: float | None) -> str:
    """An accuracy as tables show it, such as `53.0 ± 0.2`."""
    return f"{100 * accuracy:.1f}" + ("" if stderr is None else f" ± {100 * stderr:.1f}")


def table(scores: Sequence[Score]) -> Table:
    """The printed comparison."""
    suites = suite_names(scores)
    shown = Table(title="student, anchors and teachers", title_justify="left")
    shown.add_column("model")
    shown.add_column("role")
    for column in ("parameters", "val/ce (nats/token)", "val/ppl", *(f"{suite} (%)" for suite in suites)):
        shown.add_column(column, justify="right")
    for row in scores:
        cells = [row.name, row.role, f"{row.parameters:,}", f"{row.val_ce:.4f}", f"{perplexity(row.val_ce):.2f}"]
        cells += [percent(row.suites[suite].accuracy, row.suites[suite].stderr) for suite in suites]
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
