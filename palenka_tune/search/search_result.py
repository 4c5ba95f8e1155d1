"""What a search left behind, typed: its trials, the best of them, the anchors, the finalists, the verdict, the student.

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
from palenka_tune.trials.rows import FinalistRow, TrialRow

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
        """All trials in the order in which they were proposed; the anchors come first."""
        return tuple(read_rows(self.folder / TRIALS, TrialRow))

    @cached_property
    def finalists(self) -> tuple[FinalistRow, ...]:
        """The students that were trained again over several seeds, if there are any."""
        return tuple(read_rows(self.folder / FINALISTS, FinalistRow))

    @property
    def best(self) -> TrialRow | None:
        """The trial with the lowest `val_ce` of those that were trained to the end (anchors too); None if none was.

        The student in `best/` is this trial's, unless there are finalists: then it is that of
        `summary["finalists"]["best"]`.
        """
        best = self.summary.get("best")
        return best and next(trial for trial in self.trials if trial.trial_id == best["trial_id"])

    @property
    def anchors(self) -> dict[str, TrialRow]:
        """`no_distillation` and `vanilla_kd`: what the best trial is compared with."""
        return {trial.anchor: trial for trial in self.trials if trial.anchor is not None}

    @property
    def verdict(self) -> str | None:
        """What the search found, in a sentence: the finalists' verdict with its interval over paired seeds, or, where
        there are no finalists, the best trial beside both anchors. None if no trial was trained to the end."""
        if "finalists" in self.summary:
            return str(self.summary["finalists"]["verdict"])
        if self.best is None or self.best.val_ce is None:
            return None
        from palenka_tune.trials.tables import comparison

        return comparison(self.best.val_ce, {name: self.summary["baselines"][name]["val_ce"] for name in self.anchors})

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
