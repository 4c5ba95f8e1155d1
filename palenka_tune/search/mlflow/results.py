"""The results of a search in MLflow: the datasets that it read, scores at the runs of the models that have them, tables
and the best student at the search's own run, and the best student as a version in the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from palenka_tune.data import hub
from palenka_tune.data.prepare import PreparedData
from palenka_tune.runs.run_folder import BEST
from palenka_tune.runs.summary import EVALUATION, SUMMARY
from palenka_tune.runs.tables import FINALISTS, TRIALS
from palenka_tune.search.mlflow.names import metric_names
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students.bench import select_windows
from palenka_tune.tracking.entities import DatasetRecord
from palenka_tune.tracking.tags import PARENT
from palenka_tune.tracking.tracker import Tracker
from palenka_tune.trials.names import settings_name

BEST_STUDENT = "best_student"
CONTEXTS = {"train": "training", "dev": "validation"}


def datasets(prepared: PreparedData, student: StudentSettings) -> list[DatasetRecord]:
    """Train and dev of a corpus, each with the number of windows of it that the student sees."""
    source_type, source = "local", {"uri": str(prepared.corpus)}
    if hub.is_dataset_id(prepared.source):
        source_type, source = "hugging_face", {"path": prepared.source}
    seen = select_windows(prepared.store, student).rows
    return [
        DatasetRecord(
            name=_name(prepared, split),
            digest=prepared.fingerprint,
            source_type=source_type,
            source=source,
            context=context,
            profile={
                "num_rows": len(prepared.store.windows(split)),
                "num_elements": prepared.store.tokens(split),
                "words": prepared.store.words(split),
                "window": prepared.store.window,
            },
            tags={"palenka.windows": str(len(seen[split]))},
        )
        for split, context in CONTEXTS.items()
    ]


def dev_dataset(prepared: PreparedData) -> tuple[str, str]:
    """Name and digest of the dataset on which `val/ce` is measured."""
    return _name(prepared, "dev"), prepared.fingerprint


def _name(prepared: PreparedData, split: str) -> str:
    """What MLflow calls a split; both splits of a corpus have its fingerprint as their digest."""
    return f"{prepared.name} {split}"


def measured_on(prepared: PreparedData, student: StudentSettings) -> str:
    """On what a `val/ce` was measured; equal for values that may be compared."""
    windows = len(select_windows(prepared.store, student).rows["dev"])
    return f"{prepared.name} {prepared.fingerprint}, {windows:,} dev windows"


def log_scores(tracker: Tracker, scored: Iterable[tuple[str, int, Mapping[str, float | None]]]) -> None:
    """What each model scored, at its own run: (key of the run, trained tokens, {metric or suite: value})."""
    for key, tokens, values in scored:
        tracker.log_metrics(key, metric_names(values), step=tokens)


def log_best(
    tracker: Tracker,
    folder: Path,
    prepared: PreparedData,
    settings: Mapping[str, Any],
    scores: Mapping[str, float | None],
    tokens: int,
) -> None:
    """The search's tables as artifacts, and the student in `folder/best` as a model with its settings and scores."""
    for name in (TRIALS, SUMMARY, EVALUATION, FINALISTS):
        if (folder / name).exists():
            tracker.log_artifact(PARENT, folder / name)
    tracker.log_model(
        PARENT,
        folder / BEST,
        BEST_STUDENT,
        settings=settings,
        metrics=metric_names(scores),
        step=tokens,
        measured_on=dev_dataset(prepared),
    )


def register(tracker: Tracker, folder: Path, summary: Mapping[str, Any], name: str) -> None:
    """Have the student in `folder/best` registered as a version of the model `name`; `summary` is the search's."""
    best, trial = summary["best"], summary["arms"][summary["best"]["arm"]]["best"]
    settings, chosen = settings_name(best["arm"], trial["origin"], best["params"]), best["trial_id"]
    data = summary["measured_on"]
    if "seed" in best:
        chosen, data = f"{chosen}, trained again with seed {best['seed']}", best["measured_on"]
    tracker.register_model(
        PARENT,
        folder / BEST,
        BEST_STUDENT,
        registered=name,
        val_ce=best["val_ce"],
        measured_on=data,
        description=f"val/ce {best['val_ce']:.4f} nats per token on {data}: {settings}. Search {folder.name}, "
        f"{chosen}.",
    )
