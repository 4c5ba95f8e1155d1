"""The end of a search: export the best student, score it beside anchors and teachers, write and print the summary."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import AutoTokenizer, PreTrainedModel

from palenka_tune.data.prepare import PreparedData
from palenka_tune.distill.loop import load_checkpoint
from palenka_tune.models.card import model_card
from palenka_tune.models.export import export_student, load_model
from palenka_tune.search.ledger import ANCHORS
from palenka_tune.search.mlflow_observer import PARENT
from palenka_tune.search.plots import plot_search
from palenka_tune.search.results import anchor_row, best_row, describe_values, write_summary
from palenka_tune.search.scores import Score, comparison, score_all, table, write_evaluation
from palenka_tune.search.student import Bench
from palenka_tune.search.tuning import Job
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tracker import Tracker


def report(
    job: Job,
    bench: Bench,
    rows: Sequence[Mapping[str, Any]],
    teachers: Sequence[Teacher],
    prepared: PreparedData,
    suite: Path | None,
    *,
    tracker: Tracker,
    console: Console,
    log: Callable[[str], None],
    started: float,
) -> dict[str, Any]:
    """Write `best/`, `evaluation.json` and `summary.json`, log them, print the table; returns the summary."""
    folder, best = job.folder, best_row(rows)
    tokenizer = AutoTokenizer.from_pretrained(prepared.tokenizer_dir)

    def student(row: Mapping[str, Any]) -> Callable[[], PreTrainedModel]:
        return lambda: load_student(job, bench, str(row["trial_id"]))

    def teacher_model(teacher: Teacher) -> Callable[[], PreTrainedModel]:
        return lambda: load_model(teacher.folder)[0]

    role = f"anchor {best['anchor']}" if best["anchor"] else "student"
    models = [("best student", role, student(best))]
    for anchor in ANCHORS:
        row = anchor_row(rows, anchor)
        if row is not None and row is not best:
            models.append((anchor, "anchor", student(row)))
    models += [(teacher.name, "teacher", teacher_model(teacher)) for teacher in teachers]
    scores = score_all(models, tokenizer, store=bench.store, dev=bench.dev, suite=suite, log=log)
    label = suite_label(prepared, suite)
    write_evaluation(folder / "evaluation.json", scores, label)
    _export(job, bench, best, scores[0], teachers, prepared, label)
    plot_search(folder / "plots" / "search.png", rows, job.config.space, f"{folder.name}: {prepared.source}")
    tracker.flush(60.0)  # the run's id goes into the summary
    summary = write_summary(
        folder / "summary.json",
        rows,
        total_steps=job.total_steps,
        wall_seconds=time.monotonic() - started,
        mlflow={"experiment_id": tracker.experiment_id, "parent_run_id": tracker.run_id(PARENT)},
        extra={"seed": job.config.experiment.seed, "data": prepared.describe()},
    )
    _log_to_mlflow(job, summary, scores, tracker)
    shutil.rmtree(job.checkpoints)
    console.print(table(scores, label))
    baselines = {name: entry["val_ce"] for name, entry in summary["baselines"].items()}
    console.print(comparison(best["val_ce"], baselines), markup=False)
    console.print(f"settings: {best['anchor'] or describe_values(best['values'])}", markup=False)
    counts, budget = summary["counts"], summary["budget"]
    console.print(
        f"{counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} failed; "
        f"{100 * budget['saved_fraction']:.0f} % of the steps saved; {summary['wall_seconds']:.0f} s",
        markup=False,
    )
    return summary


def suite_label(prepared: PreparedData, suite: Path | None) -> str | None:
    """What a suite of minimal pairs is called in tables: its folder, or the corpus that brought it."""
    if suite is None:
        return None
    return f"{prepared.source} pairs" if suite == prepared.minimal_pairs else suite.resolve().name


def load_student(job: Job, bench: Bench, trial_id: str) -> PreTrainedModel:
    """The student of a finished trial, from its last checkpoint."""
    model = bench.build_student(job.config.experiment.seed)
    state = load_checkpoint(job.checkpoints / f"{trial_id}.pt", bench.spec.device)
    model.load_state_dict(state["loop"]["model"])
    return model


def _export(
    job: Job,
    bench: Bench,
    best: Mapping[str, Any],
    score: Score,
    teachers: Sequence[Teacher],
    prepared: PreparedData,
    suite: str | None,
) -> None:
    model = load_student(job, bench, str(best["trial_id"]))
    distilled = best["anchor"] != "no_distillation"
    pairs = {suite: (score.pairs.accuracy, score.pairs.stderr)} if suite and score.pairs else None
    card = model_card(
        title=f"{job.folder.name}: best student",
        model=model,
        data=prepared.describe(),
        settings={"trial": best["trial_id"], **best["values"]},
        val_ce=score.val_ce,
        teachers=[teacher.name for teacher in teachers] if distilled else [],
        minimal_pairs=pairs,
    )
    export_student(model, prepared.tokenizer_dir, job.folder / "best", card=card)


def _log_to_mlflow(job: Job, summary: Mapping[str, Any], scores: Sequence[Score], tracker: Tracker) -> None:
    best = summary["best"]
    metrics: dict[str, float | None] = {"best/val_ce": best["val_ce"]}
    for name, entry in summary["baselines"].items():
        metrics[f"baseline/{name}_val_ce"] = entry["val_ce"]
    for score in scores:
        if score.pairs:
            metrics[f"minimal_pairs/{score.name.replace(' ', '_').replace('=', '')}"] = score.pairs.accuracy
    tracker.log_metrics(PARENT, metrics, step=0)
    tracker.set_tags(PARENT, {"palenka.best_trial": best["trial_id"]})
    tracker.set_tags(str(best["trial_id"]), {"palenka.best": "true"})
    for name in ("trials.parquet", "summary.json", "evaluation.json"):
        tracker.log_artifact(PARENT, job.folder / name)
    tracker.log_artifact(PARENT, job.folder / "plots")
    tracker.log_model(PARENT, job.folder / "best", "best_student")
    tracker.end_run(PARENT, "FINISHED")
