"""What a search left behind, typed: its trials, the best of each arm, the finalists, the verdict, the student.

A `SearchResult` reads the tables of a run folder when it is asked. All losses are in nats per token, measured on dev.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.config.files import read_json
from palenka_tune.errors import UserError
from palenka_tune.runs.run_folder import BEST
from palenka_tune.runs.summary import SUMMARY
from palenka_tune.runs.tables import FINALISTS, TRIALS, read_rows
from palenka_tune.trials.rows import FinalistRow, TrialRow, best_of_arms

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class SearchResult:
    """A finished search; after a dry run `summary` is empty and there is nothing to read.

    Attributes:
        folder: The run folder. `summary.json` and its other files are listed in the README.
        summary: What `summary.json` holds.
    """

    folder: Path
    summary: dict[str, Any] = field(repr=False)

    @cached_property
    def trials(self) -> tuple[TrialRow, ...]:
        """All trials in the order in which they were proposed; the fixed settings come first."""
        return tuple(read_rows(self.folder / TRIALS, TrialRow))

    @cached_property
    def finalists(self) -> tuple[FinalistRow, ...]:
        """The best of each arm, trained again with fresh seeds, if there are any."""
        return tuple(read_rows(self.folder / FINALISTS, FinalistRow))

    @property
    def best(self) -> TrialRow | None:
        """The trial whose settings are the best: those of the student in `best/`. None if none was trained to the end.

        With fresh seeds it is the best by them (`summary["best"]`), else the one that led the trials.
        """
        best = self.summary.get("best")
        return best and next(trial for trial in self.trials if trial.trial_id == best["trial_id"])

    @property
    def arms(self) -> dict[str, TrialRow]:
        """The best trial of each arm: `plain`, `logits`, `hidden`."""
        return best_of_arms(self.trials)

    @property
    def verdict(self) -> str | None:
        """What the search found, in sentences: the verdict with its intervals over fresh seeds, or, without these, what
        led the trials. None if no trial was trained to the end."""
        if "verdict" in self.summary:
            return str(self.summary["verdict"]["sentence"])
        from palenka_tune.trials.sentences import leader

        return leader(self.arms) or None

    def frame(self) -> pd.DataFrame:
        """`trials.parquet` as a table with a column for each searched setting."""
        import pandas as pd

        path = self.folder / TRIALS
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame()

    def load_student(self, device: str = "cpu") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """The best student, in evaluation mode, and its tokenizer, from `best/`.

        Raises:
            UserError: if the folder does not hold a model, as after a dry run.
        """
        from palenka_tune.models.export import load_model

        return load_model(self.folder / BEST, device=device)


def load_result(folder: Path) -> SearchResult:
    """The result of the search in `folder`; raises `UserError` if it has not ended."""
    path = folder / SUMMARY
    summary: dict[str, Any] = read_json(path) if path.is_file() else {}
    if summary.get("state") != "finished":
        raise UserError(
            f"the search {folder.name} in {folder.parent} has not ended; wait for it, or resume it by resume=True "
            f"(--resume --name {folder.name})"
        )
    return SearchResult(folder, summary)
