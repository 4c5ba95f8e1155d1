"""What a search left behind, typed: its trials, the best of them, the anchors, the finalists, the verdict, the student.

In: the folder of a finished search. Out: a `SearchResult`, which reads `summary.json`, `trials.parquet` and
`finalists.parquet` when it is asked. All losses are in nats per token, measured on dev.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from palenka_tune.config.files import read_json
from palenka_tune.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Row = TypeVar("Row", "Trial", "Finalist")


@dataclass(frozen=True)
class Trial:
    """A trial that has ended: a row of `trials.parquet`.

    Attributes:
        trial_id: Such as `trial-0004`.
        state: `COMPLETE` (trained to its end), `PRUNED` (stopped by ASHA) or `FAILED` (see `reason`).
        anchor: `no_distillation` or `vanilla_kd`, or None for a trial that was proposed.
        settings: The searched settings by their dotted names, such as `{"beta": 3.1, "projection.rank": 64}`. None is
            YAML's null, or a setting that this trial does not have; maps and lists are JSON text.
        val_ce: The student's own cross-entropy when it was last measured, in nats per token; None if it never was.
        val_ce_best: The lowest cross-entropy that was measured, in nats per token.
        val_kl: Divergence from the teachers at the end, in nats per token, before its weight; None if not measured.
        val_hidden: Distance of the hidden states at the end, without a unit, before its weight.
        val_total: The whole loss at the end, with its weights, which differ from trial to trial.
        steps: Optimiser steps that were trained.
        tokens: Tokens that were trained.
        seconds: Wall time of training, in all processes that worked on it.
        reason: Why it failed or was stopped, or None.
    """

    trial_id: str
    state: str
    anchor: str | None
    settings: dict[str, Any]
    val_ce: float | None
    val_ce_best: float | None
    val_kl: float | None
    val_hidden: float | None
    val_total: float | None
    steps: int
    tokens: int
    seconds: float
    reason: str | None


@dataclass(frozen=True)
class Finalist:
    """A student that was trained again on all windows: a row of `finalists.parquet`.

    Attributes:
        config: A trial's id, an anchor's name, or a trial's id with `-without-hidden` for its settings with beta 0.
        role: `finalist`, `anchor` or `ablation`.
        seed: Of the student. Students of one seed begin with the same weights and see the same batches.
        val_ce: The student's cross-entropy on all of dev, in nats per token; None if the training diverged.
        steps: Optimiser steps that were trained.
        tokens: Tokens that were trained.
        seconds: Wall time of training.
        folder: The student and its model card, within the run folder.
        scores: Accuracy from 0 to 1 by suite of minimal pairs.
    """

    config: str
    role: str
    seed: int
    val_ce: float | None
    steps: int
    tokens: int
    seconds: float
    folder: str
    scores: dict[str, float]


# columns of `finalists.parquet` that are no suite of minimal pairs, beside the fields above
_NO_SUITES = {"alpha", "beta", "val_ppl", "val_kl", "val_hidden", "val_total", "weights_sha256", "diverged"}


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
    def trials(self) -> tuple[Trial, ...]:
        """All trials in the order in which they were proposed; the anchors come first."""
        return _typed(Trial, self._rows("trials.parquet"), rest="settings")

    @cached_property
    def finalists(self) -> tuple[Finalist, ...]:
        """The students that were trained again over several seeds, if there are any."""
        return _typed(Finalist, self._rows("finalists.parquet"), rest="scores", drop=_NO_SUITES)

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest `val_ce` of those that were trained to the end (anchors too); None if none was.

        The student in `best/` is this trial's, unless there are finalists: then it is that of
        `summary["finalists"]["best"]`.
        """
        found = self.summary.get("best")
        return found and next(trial for trial in self.trials if trial.trial_id == found["trial_id"])

    @property
    def anchors(self) -> dict[str, Trial]:
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
        from palenka_tune.students.scores import comparison

        return comparison(self.best.val_ce, {name: self.summary["baselines"][name]["val_ce"] for name in self.anchors})

    def frame(self) -> pd.DataFrame:
        """`trials.parquet` as a table with a column for each searched setting."""
        import pandas as pd

        return pd.DataFrame(self._rows("trials.parquet"))

    def load_student(self, device: str = "cpu") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """The best student, in evaluation mode, and its tokenizer, from `best/`.

        Raises:
            UserError: if the folder does not hold a model, as after a dry run.
        """
        from palenka_tune.models.export import load_model

        return load_model(self.folder / "best", device=device)

    def _rows(self, name: str) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        path = self.folder / name
        return pq.read_table(path).to_pylist() if path.is_file() else []


def load_result(folder: Path) -> SearchResult:
    """The result of the search in `folder`; raises `UserError` if it has not ended."""
    path = folder / "summary.json"
    summary: dict[str, Any] = read_json(path) if path.is_file() else {}
    if summary.get("state") != "finished":
        raise UserError(
            f"the search {folder.name} in {folder.parent} has not ended; wait for it, or go on with it by resume=True "
            f"(--resume --name {folder.name})"
        )
    return SearchResult(folder, summary)


def _typed(kind: type[Row], rows: list[dict[str, Any]], *, rest: str, drop: Iterable[str] = ()) -> tuple[Row, ...]:
    """A `kind` for each row; its field `rest` has the columns that are no field of their own."""
    names: list[str] = [each.name for each in dataclasses.fields(kind) if each.name != rest]
    known = {*names, *drop}
    found = []
    for row in rows:
        values: dict[str, Any] = {name: row[name] for name in names}
        values[rest] = {name: value for name, value in row.items() if name not in known}
        found.append(kind(**values))
    return tuple(found)
