"""The end of a search: export the best student, score it beside anchors and teachers, write and print the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import AutoTokenizer, PreTrainedModel

from palenka_tune.cluster.session import resolve_device
from palenka_tune.config.files import read_json
from palenka_tune.data.prepare import PreparedData
from palenka_tune.distill.loop import DamagedError, load_checkpoint
from palenka_tune.evaluation.suites import SuiteChoice
from palenka_tune.models.card import model_card
from palenka_tune.models.export import export_student, load_model
from palenka_tune.search import checkpoints, notes, tracked
from palenka_tune.search.ledger import ANCHORS, Ledger
from palenka_tune.search.mlflow_observer import NOTE, PARENT, RUN_NAME
from palenka_tune.search.names import settings_name
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.results import anchor_row, best_row, describe_values, write_summary
from palenka_tune.search.scores import Score, comparison, score_all, table, write_evaluation
from palenka_tune.search.student import Bench
from palenka_tune.search.teaching import run_key
from palenka_tune.search.tuning import Job
from palenka_tune.storage import mirror
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tracker import Tracker


@dataclass(frozen=True)
class Place:
    """Where a search runs and whom it tells: its folders, data, minimal pairs, MLflow, terminal."""

    folder: Path
    storage: Path
    prepared: PreparedData
    suites: tuple[SuiteChoice, ...]
    tracker: Tracker
    console: Console
    log: Callable[[str], None]
    started: float

    def about(self, teachers: Sequence[Teacher], options: SearchOptions) -> notes.About:
        """What the search's note in MLflow says of its origin."""
        return notes.about(self.folder.name, self.prepared.describe(), teachers, options)


def report(
    job: Job, bench: Bench, ledger: Ledger, teachers: Sequence[Teacher], place: Place, about: notes.About, *, more: bool
) -> dict[str, Any]:
    """Write `best/`, `summary.json` and `evaluation.json`, log them, print the table; returns the summary.

    The student and the summary come first: whatever fails in scoring, the search's result is there. `more`: finalists
    are trained next.
    """
    rows = job.rows(ledger)
    folder, best, tracker = job.folder, best_row(rows, ledger.objective), place.tracker
    _export(job, bench, best, teachers, place, None)
    write(job, ledger, place, state="scoring")
    scores = _score(job, bench, best, rows, teachers, place)
    write_evaluation(folder / "evaluation.json", scores)
    _export(job, bench, best, teachers, place, scores[0])
    tracker.flush(60.0)  # the run's id goes into the summary
    summary = write(job, ledger, place, state="finished")
    runs = _runs(best, rows, teachers)
    _log_to_mlflow(place, summary, best, list(zip(scores, runs, strict=True)))
    tracker.set_linked_tags(
        PARENT, {NOTE: notes.finished(summary, read_json(folder / "evaluation.json"), about, more=more)}
    )
    tracker.end_run(PARENT, "FINISHED")
    _print(summary, best, scores, place.console)
    return summary


def clean(job: Job) -> None:
    """Delete what only a search that goes on needs."""
    for scratch in (job.checkpoints, job.folder / "tune"):
        mirror.forget_folder(scratch)


def write(job: Job, ledger: Ledger, place: Place, *, state: str) -> dict[str, Any]:
    """Write and return `summary.json` as far as the search has come."""
    tracker = place.tracker
    return write_summary(
        job.folder / "summary.json",
        job.rows(ledger),
        objective=ledger.objective,
        total_steps=job.total_steps,
        wall_seconds=ledger.seconds,
        mlflow={"experiment_id": tracker.experiment_id, "parent_run_id": tracker.run_id(PARENT)},
        extra={
            "state": state,
            "seed": job.config.experiment.seed,
            "data": place.prepared.describe(),
            "measured_on": tracked.measured_on(place.prepared, job.config.experiment.student),
        },
    )


def _score(
    job: Job,
    bench: Bench,
    best: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    teachers: Sequence[Teacher],
    place: Place,
) -> list[Score]:
    """The best student first, then anchors and teachers; on a GPU if the driver has one."""
    device = resolve_device()

    def student(row: Mapping[str, Any]) -> Callable[[], PreTrainedModel]:
        return lambda: load_student(job, bench, row, place.log).to(device)

    def teacher_model(teacher: Teacher) -> Callable[[], PreTrainedModel]:
        return lambda: load_model(teacher.folder, device=device)[0]

    role = f"anchor {best['anchor']}" if best["anchor"] else "student"
    models = [("best student", role, student(best))]
    models += [(str(row["anchor"]), "anchor", student(row)) for row in _anchors(best, rows)]
    models += [(teacher.name, "teacher", teacher_model(teacher)) for teacher in teachers]
    tokenizer = AutoTokenizer.from_pretrained(place.prepared.tokenizer_dir)
    suites = [choice.read() for choice in place.suites]
    return score_all(models, tokenizer, store=bench.store, dev=bench.dev, suites=suites, log=place.log)


def _anchors(best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of the anchors with which the best student is compared."""
    found = [anchor_row(rows, anchor) for anchor in ANCHORS]
    return [row for row in found if row is not None and row is not best]


def _runs(
    best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], teachers: Sequence[Teacher]
) -> list[tuple[str, int]]:
    """Run and trained tokens of each model that is scored, in the order of the scores."""
    students = [(str(row["trial_id"]), int(row["tokens"])) for row in (best, *_anchors(best, rows))]
    return students + [(run_key(teacher.folder.name), teacher.tokens) for teacher in teachers]


def _print(summary: Mapping[str, Any], best: Mapping[str, Any], scores: Sequence[Score], console: Console) -> None:
    console.print(table(scores))
    baselines = {name: entry["val_ce"] for name, entry in summary["baselines"].items()}
    console.print(comparison(best["val_ce"], baselines), markup=False)
    console.print(f"settings: {best['anchor'] or describe_values(best['values'])}", markup=False)
    counts, budget = summary["counts"], summary["budget"]
    console.print(
        f"{counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} failed; "
        f"{100 * budget['saved_fraction']:.0f} % of the steps saved; {summary['wall_seconds']:.0f} s",
        markup=False,
    )


def own_pairs(prepared: PreparedData) -> tuple[SuiteChoice, ...]:
    """The minimal pairs that come with a corpus, if any."""
    folder = prepared.minimal_pairs
    return () if folder is None else (SuiteChoice(str(folder), label=f"{prepared.name} pairs"),)


def load_student(job: Job, bench: Bench, row: Mapping[str, Any], log: Callable[[str], None]) -> PreTrainedModel:
    """The student of a finished trial, from its last checkpoint, on the CPU; trained again if that is damaged."""
    seed, trial_id = job.config.experiment.seed, str(row["trial_id"])
    path = checkpoints.checkpoint_path(job.checkpoints, trial_id)
    mirror.fetch(path)  # another node may have trained it
    try:
        state = load_checkpoint(path)
    except (DamagedError, FileNotFoundError) as error:
        log(f"{error}; {trial_id} is trained again for its weights")
        loop = bench.loop(*job.config.settings_of(row["values"]), seed=seed)
        loop.run_until(loop.total_steps)
        return loop.model.cpu()
    model = bench.build_student(seed, device="cpu")
    model.load_state_dict(state["loop"]["model"])
    return model


def _export(
    job: Job,
    bench: Bench,
    best: Mapping[str, Any],
    teachers: Sequence[Teacher],
    place: Place,
    score: Score | None,
) -> None:
    model, prepared = load_student(job, bench, best, place.log), place.prepared
    distilled = best["anchor"] != "no_distillation"
    pairs = {name: (each.accuracy, each.stderr) for name, each in score.suites.items()} if score else None
    card = model_card(
        title=f"{job.folder.name}: best student",
        model=model,
        data=prepared.describe(),
        settings={"trial": best["trial_id"], **best["values"]},
        val_ce=best["val_ce"],
        teachers=[teacher.name for teacher in teachers] if distilled else [],
        minimal_pairs=pairs,
    )
    export_student(model, prepared.tokenizer_dir, job.folder / "best", card=card)


def _log_to_mlflow(
    place: Place,
    summary: Mapping[str, Any],
    best: Mapping[str, Any],
    scores: Sequence[tuple[Score, tuple[str, int]]],
) -> None:
    """The results: scores at the runs of the models that have them, tables and the best student at the search's."""
    tracker, folder, trial = place.tracker, place.folder, str(best["trial_id"])
    for score, (key, tokens) in scores:
        # val/ce is there already, but for a teacher that was given as a folder
        tracker.log_metrics(key, {"val/ce": score.val_ce, **_accuracies(score)}, step=tokens)
    apart = {
        f"best/minus_{name}": best["val_ce"] - entry["val_ce"]
        for name, entry in summary["baselines"].items()
        if entry["val_ce"] is not None
    }
    tracker.log_metrics(PARENT, apart, step=int(best["tokens"]))
    tracker.set_tags(PARENT, {"palenka.best_trial": trial})
    name = f"best: {settings_name(best['anchor'], best['values'])}"
    tracker.set_tags(trial, {"palenka.best": "true", RUN_NAME: name})
    for file in ("trials.parquet", "summary.json", "evaluation.json"):
        tracker.log_artifact(PARENT, folder / file)
    tracker.log_model(
        PARENT,
        folder / "best",
        tracked.BEST_STUDENT,
        settings={"trial": trial, **best["values"]},
        metrics={"val/ce": best["val_ce"], **_accuracies(scores[0][0])},
        step=int(best["tokens"]),
        measured_on=tracked.dev_dataset(place.prepared),
    )


def suite_metrics(accuracies: Mapping[str, float]) -> dict[str, float]:
    """Accuracies (0 to 1) by suite as metrics of a run."""
    return {f"eval/{suite.replace(' ', '_')}": accuracy for suite, accuracy in accuracies.items()}


def _accuracies(score: Score) -> dict[str, float]:
    return suite_metrics({suite: results.accuracy for suite, results in score.suites.items()})
