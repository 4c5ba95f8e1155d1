"""The results of a search: candidates are scored, compared, the best becomes `best/`, all is written and logged.

It happens once when the trials have ended (`trial_results`: the best trial of each arm and the teachers) and once more
when these were trained again (`finalist_results`: every student of every fresh seed, and the verdict).
"""

from __future__ import annotations

import dataclasses
import logging
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from transformers import PreTrainedModel

from palenka_tune.config.build import flat
from palenka_tune.config.files import read_json, write_json, write_text
from palenka_tune.distill.loop import DamagedError, load_checkpoint
from palenka_tune.errors import PalenkaError
from palenka_tune.models.card import model_card
from palenka_tune.models.export import copy_export, export_student, load_model
from palenka_tune.models.folder import STUDENT
from palenka_tune.models.origin import origin_of
from palenka_tune.models.sample import sample
from palenka_tune.report.load import run_data
from palenka_tune.report.write import PLOTS, REPORT, write_report
from palenka_tune.runs import checkpoints
from palenka_tune.runs.context import Context
from palenka_tune.runs.cost import wall_seconds
from palenka_tune.runs.run_folder import BEST, TUNE
from palenka_tune.runs.summary import EVALUATION, SUMMARY, write_summary
from palenka_tune.runs.tables import FINALISTS, write_rows
from palenka_tune.search.finalists import train
from palenka_tune.search.finalists.configurations import Configuration, run_key
from palenka_tune.search.mlflow import notes, results, teachers
from palenka_tune.search.tune.placement import Placement
from palenka_tune.search.tune.run import Job
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.status.reader import StatusReader
from palenka_tune.storage import mirror
from palenka_tune.students.bench import Bench
from palenka_tune.students.fit import weights_sha256
from palenka_tune.students.headroom import headroom_of
from palenka_tune.students.scoring import DevWindows, ScoreJob, score_models
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import NOTE, PARENT, RUN_NAME
from palenka_tune.trials import verdict
from palenka_tune.trials.arms import PLAIN
from palenka_tune.trials.ledger import Ledger
from palenka_tune.trials.metrics import TEST_CE, VAL_CE
from palenka_tune.trials.names import run_name, settings_name
from palenka_tune.trials.rows import FinalistRow, TrialRow, best_of_arms, best_row
from palenka_tune.trials.sentences import leader, models_table
from palenka_tune.words import counted, plural, saved

logger = logging.getLogger(__name__)
CANDIDATES = "candidates"  # folder of what is scored beside `best/`


@dataclass(frozen=True)
class Candidate:
    """A trained model to be scored: its `model` folder and the `digest` of its weights, the key of its MLflow `run` and
    the `tokens` it was trained on. Its scores go to `folder`."""

    name: str
    role: str
    model: Path
    digest: str
    run: str
    tokens: int
    folder: Path


def trial_results(
    job: Job,
    bench: Bench,
    ledger: Ledger,
    taught_by: Sequence[Teacher],
    context: Context,
    about: notes.About,
    more: bool,
) -> dict[str, Any]:
    """Write `best/`, `evaluation.json` and `summary.json`, log them, print the table; returns the summary.

    The student and the summary come first, so that the result exists even if scoring fails. `more`: finalists are
    trained next.
    """
    rows, folder, tracker = job.rows(ledger), context.folder, context.tracker
    best = best_row(rows, ledger.objective)
    assert best.val_ce is not None  # it was trained to the end
    student = load_student(job, bench, best, context)
    card = _trial_card(context, student, best, taught_by)
    export_student(student, context.prepared.tokenizer_dir, folder / BEST, card=card)
    write_trial_summary(job, ledger, context, state="scoring")
    candidates = _trial_candidates(job, bench, best, student, rows, taught_by, context)
    dev = DevWindows(job.bench.store, job.bench.student)
    scores = _score(candidates, context, job.placement, dev)
    models = [_model(candidate, score) for candidate, score in zip(candidates, scores, strict=True)]
    evaluation = {"suites": list(models[0]["suites"]), "models": models}
    write_json(folder / EVALUATION, evaluation)
    write_text(folder / BEST / "README.md", _trial_card(context, student, best, taught_by, models[0]["suites"]))
    tracker.flush(60.0)  # the run's id goes into the summary
    summary = write_trial_summary(job, ledger, context, state="finished")
    results.log_scores(
        tracker,
        ((each.run, each.tokens, _values(model)) for each, model in zip(candidates, models, strict=True)),
    )
    others = {arm: row.ce for arm, row in best_of_arms(rows).items() if arm != best.arm}
    apart = {f"leader/minus_{arm}": best.ce - value for arm, value in others.items()}
    if summary["headroom"] and summary["headroom"]["nats"] is not None:
        apart["headroom/nats"] = summary["headroom"]["nats"]
    tracker.log_metrics(PARENT, apart, step=best.tokens)
    tracker.set_tags(PARENT, {"palenka.best_trial": best.trial_id})
    settings_of_best = settings_name(best.arm, best.origin, best.settings)
    name = run_name(best.trial_id, settings_of_best, mark="led the trials")
    tracker.set_tags(best.trial_id, {"palenka.best": "true", RUN_NAME: name})
    settings = {"trial": best.trial_id, **best.settings}
    results.log_best(tracker, folder, context.prepared, settings, _values(models[0], best.val_ce), best.tokens)
    note = notes.finished(summary, evaluation, about, more=more)
    tracker.set_linked_tags(PARENT, {NOTE: note})
    tracker.end_run(PARENT, "FINISHED")
    context.console.print(models_table(models))
    if led := leader(best_of_arms(rows), ledger.objective):
        context.console.print(led, markup=False)
    context.console.print(f"{counted(summary['counts'])}; {saved(summary['budget'])}", markup=False)
    return summary


def finalist_results(
    config: SearchConfig,
    chosen: Sequence[Configuration],
    rows: Sequence[FinalistRow],
    taught_by: Sequence[Teacher],
    placement: Placement,
    context: Context,
    about: notes.About,
) -> dict[str, Any]:
    """Score the finalists, give the verdict, make the best one's student `best/`, write and log; returns the summary.

    Raises `PalenkaError` if a student cannot be scored (the scores of the others are kept) or all diverged.
    """
    folder, tracker = context.folder, context.tracker
    trained = [row for row in rows if row.val_ce is not None]
    candidates = [
        Candidate(
            name=f"{row.config}-seed{row.seed}",
            role=row.arm,
            model=folder / row.folder / STUDENT,
            digest=str(row.weights_sha256),
            run=run_key(row.config, row.seed),
            tokens=row.tokens or 0,
            folder=folder / row.folder,
        )
        for row in trained
    ]
    found = _score(candidates, context, placement, with_test=True)
    scores = {row.folder: score["suites"] for row, score in zip(trained, found, strict=True)}
    tests = {row.folder: score["test_ce"] for row, score in zip(trained, found, strict=True)}
    rows = [
        dataclasses.replace(row, test_ce=tests.get(row.folder), scores=_accuracies(scores.get(row.folder, {})))
        for row in rows
    ]
    settings = {each.trial_id: each.settings for each in chosen}
    summaries, margin = verdict.summarise(rows), config.search.margin
    sentence, table = verdict.verdict(summaries, margin), verdict.markdown(summaries)
    context.console.print(verdict.table(summaries))
    write_rows(folder / FINALISTS, rows)
    train.forget_others(folder, rows)
    best = _best_finalist(summaries, rows)
    for row in rows:
        if row.val_ce is not None:
            path = folder / row.folder / STUDENT / "README.md"
            told = {"verdict": sentence, "comparison": table}
            write_text(
                path, _finalist_card(config, context, row, settings[row.config], taught_by, scores[row.folder], told)
            )
            mirror.publish(path)
    copy_export(folder / best.folder / STUDENT, folder / BEST)
    names = ("config", "arm", "seed", "val_ce", "test_ce", "folder")
    listed = [{name: getattr(row, name) for name in names} | {"suites": scores.get(row.folder, {})} for row in rows]
    evaluation = {**read_json(folder / EVALUATION), "finalists": listed}
    write_json(folder / EVALUATION, evaluation)
    measured_on = results.measured_on(context.prepared, train.all_windows(config.experiment.student))
    summary: dict[str, Any] = read_json(folder / SUMMARY) | {
        "best": {
            "trial_id": best.config,
            "arm": best.arm,
            "params": dict(settings[best.config]),
            "val_ce": best.val_ce,
            "test_ce": best.test_ce,
            "seed": best.seed,
            "measured_on": measured_on,
        },
        "verdict": {
            "sentence": sentence,
            "on": verdict.split_of(verdict.judged_on(summaries)),
            "seeds": config.search.seeds,
            "margin": margin,
            "comparisons": [each.to_dict() for each in verdict.comparisons(summaries, margin)],
            "arms": [each.to_dict() for each in summaries],
        },
    }
    write_json(folder / SUMMARY, summary)
    by_name = {each.trial_id: each for each in chosen}
    for each in chosen:
        tracker.set_tags(
            each.trial_id, {"palenka.finalist": "true", "palenka.best": str(each.trial_id == best.config).lower()}
        )
    for row in rows:
        name = by_name[row.config].run_name(row.seed, "best" if row is best else "")
        tags = {RUN_NAME: name, "palenka.best": str(row is best).lower()}
        tracker.set_tags(run_key(row.config, row.seed), tags)
    results.log_scores(
        tracker,
        ((run_key(row.config, row.seed), row.tokens or 0, {TEST_CE: row.test_ce, **row.scores}) for row in rows),
    )
    tracker.set_tags(PARENT, {"palenka.verdict": sentence, "palenka.best_trial": best.config})
    best_settings = {"configuration": best.config, "seed": best.seed, **settings[best.config]}
    scored = {VAL_CE: best.val_ce, TEST_CE: best.test_ce, **best.scores}
    results.log_best(tracker, folder, context.prepared, best_settings, scored, best.tokens or 0)
    tracker.set_linked_tags(PARENT, {NOTE: notes.finished(summary, evaluation, about, finalists=table)})
    tracker.end_run(PARENT, "FINISHED")
    return summary


def write_trial_summary(job: Job, ledger: Ledger, context: Context, *, state: str) -> dict[str, Any]:
    """Write and return `summary.json` as far as the search has come."""
    tracker, experiment, rows = context.tracker, job.config.experiment, job.rows(ledger)
    headroom = headroom_of(ledger.study.user_attrs, rows)
    return write_summary(
        context.folder / SUMMARY,
        rows,
        objective=ledger.objective,
        total_steps=job.total_steps,
        wall_seconds=wall_seconds(ledger.study.user_attrs),
        mlflow={"experiment_id": tracker.experiment_id, "parent_run_id": tracker.run_id(PARENT)},
        extra={
            "state": state,
            "headroom": headroom and headroom.to_dict(),
            "seed": experiment.seed,
            "data": context.prepared.describe(),
            "measured_on": results.measured_on(context.prepared, experiment.student),
        },
    )


def load_student(job: Job, bench: Bench, row: TrialRow, context: Context) -> PreTrainedModel:
    """The student of a finished trial, from its last checkpoint, on the CPU; trained again if that is damaged."""
    seed, path = job.config.experiment.seed, checkpoints.checkpoint_path(job.checkpoints, row.trial_id)
    mirror.fetch(path)  # another node may have trained it
    try:
        state = load_checkpoint(path)
    except (DamagedError, FileNotFoundError) as error:
        logger.info(f"{error}; {row.trial_id} is trained again for its weights")
        loop = bench.loop(*job.config.settings_of(row.settings), seed=seed)
        loop.run_until(loop.total_steps)
        return loop.model.cpu()
    student = job.config.settings_of(row.settings).student
    model = bench.build_student(seed, device="cpu", student=student)
    model.load_state_dict(state["loop"]["model"])
    return model


def forget_scratch(job: Job, *, keep_checkpoints: bool) -> None:
    """Delete what only a search that is resumed needs; checkpoints of paused trials are kept for `--promote`, and their
    size is said."""
    for scratch in (job.folder / TUNE, job.folder / CANDIDATES):
        mirror.forget_folder(scratch)
    kept = [*job.checkpoints.glob("*.pt")] if keep_checkpoints else []
    if not kept:
        mirror.forget_folder(job.checkpoints)
        return
    logger.info(
        f"{plural(len(kept), 'checkpoint')} kept for --resume with --promote or more --samples: "
        f"{sum(path.stat().st_size for path in kept) / 1e6:,.1f} MB (--discard-checkpoints deletes them)"
    )


def publish_report(context: Context, study: optuna.Study) -> None:
    """Write the report of the search and log it; if that fails, the search's results stand."""
    folder = context.folder
    try:
        write_report(folder / REPORT, [run_data(StatusReader(folder, context.storage, study=study))])
        context.tracker.log_artifact(PARENT, folder / REPORT)
        context.tracker.log_artifact(PARENT, folder / PLOTS)
    except Exception as error:  # of any kind: all that it would show is on disk
        logger.info(
            f"the report could not be written ({type(error).__name__}: {error}); the results are on disk, try again "
            f"with: {shlex.join(['python', '-m', 'palenka_tune.report', str(folder)])}"
        )


def _trial_candidates(
    job: Job,
    bench: Bench,
    best: TrialRow,
    student: PreTrainedModel,
    rows: Iterable[TrialRow],
    taught_by: Sequence[Teacher],
    context: Context,
) -> list[Candidate]:
    """The best student, the best of the other arms, which are exported here, and the teachers."""
    scratch = job.folder / CANDIDATES
    found = [(f"best of {best.arm}", best.arm, best, student, job.folder / BEST)]
    for arm, row in best_of_arms(rows).items():
        if arm != best.arm:
            model = load_student(job, bench, row, context)
            folder = scratch / row.trial_id / STUDENT
            card = _trial_card(context, model, row, taught_by)
            export_student(model, context.prepared.tokenizer_dir, folder, card=card)
            found.append((f"best of {arm}", arm, row, model, folder))
    candidates = []
    for name, role, row, model, folder in found:
        mirror.publish(folder)
        scores = scratch / row.trial_id
        candidates.append(Candidate(name, role, folder, weights_sha256(model), row.trial_id, row.tokens, scores))
    names = Counter(teacher.name for teacher in taught_by)
    for number, teacher in enumerate(taught_by, 1):
        name = teacher.name if names[teacher.name] == 1 else f"{teacher.name} ({number})"
        run, scores = teachers.run_key(teacher.folder.name), scratch / teacher.folder.name
        candidates.append(Candidate(name, "teacher", teacher.folder, teacher.fingerprint, run, teacher.tokens, scores))
    return candidates


def _score(
    candidates: Sequence[Candidate],
    context: Context,
    placement: Placement,
    dev: DevWindows | None = None,
    *,
    with_test: bool = False,
) -> list[dict[str, Any]]:
    """The candidates' scores on the suites, with `dev` their val_ce, and `with_test` their test_ce if the corpus has a
    test split, in the open Ray session.

    Raises `PalenkaError` if one cannot be scored; the scores of the others are kept.
    """
    store = context.prepared.store
    jobs = [
        ScoreJob(
            name=each.name,
            folder=str(each.folder),
            model=str(each.model),
            suites=context.suites,
            # a teacher from elsewhere may have its tokenizer in another form
            tokenizer=str(context.prepared.tokenizer_dir) if each.role == "teacher" else None,
            digest=each.digest,
            device=placement.device,
            dev=dev,
            test=str(store.folder) if with_test and "test" in store.splits else None,
        )
        for each in candidates
    ]
    scores = score_models(jobs, placement.share)
    for score in scores:
        if "failed" in score:
            raise PalenkaError(
                f"{score['name']} could not be scored ({score['failed']}); the others are kept: go on with --resume "
                f"--name {context.folder.name}"
            )
    return scores


def _model(candidate: Candidate, score: Mapping[str, Any]) -> dict[str, Any]:
    """A model of `evaluation.json`; `minimal_pairs` is its first suite."""
    return {
        "name": candidate.name,
        "role": candidate.role,
        "parameters": score["parameters"],
        "val_ce": score["val_ce"],
        "minimal_pairs": next(iter(score["suites"].values()), None),
        "suites": score["suites"],
    }


def _values(model: Mapping[str, Any], val_ce: float | None = None) -> dict[str, float | None]:
    return {VAL_CE: model["val_ce"] if val_ce is None else val_ce, **_accuracies(model["suites"])}


def _accuracies(suites: Mapping[str, Any]) -> dict[str, float]:
    return {suite: results["accuracy"] for suite, results in suites.items()}


def _best_finalist(summaries: Sequence[verdict.Summary], rows: Sequence[FinalistRow]) -> FinalistRow:
    """The student that becomes `best/`: that of the best arm and its first fresh seed, so that no luck of a seed is
    chosen."""
    winner = verdict.best(summaries)
    if winner is None:
        raise PalenkaError("every student with a fresh seed diverged; search with a lower recipe.lr")
    return min((row for row in rows if row.arm == winner.arm and row.val_ce is not None), key=lambda row: row.seed)


def _trial_card(
    context: Context,
    model: PreTrainedModel,
    row: TrialRow,
    taught_by: Sequence[Teacher],
    suites: Mapping[str, Any] | None = None,
) -> str:
    """The model card of a trial's student."""
    title, settings = f"{context.folder.name}: best student", {"trial": row.trial_id, **row.settings}
    teachers = taught_by if row.arm != PLAIN else ()
    return _card(context, model, title, settings, row.val_ce, teachers, suites)


def _finalist_card(
    config: SearchConfig,
    context: Context,
    row: FinalistRow,
    settings: Mapping[str, Any],
    taught_by: Sequence[Teacher],
    suites: Mapping[str, Any],
    compared: Mapping[str, str],
) -> str:
    """The model card of a finalist's student, with the verdict and the table that compares all."""
    distill, recipe, _ = config.settings_of(settings)
    folder = context.folder / row.folder / STUDENT
    mirror.fetch_folder(folder)
    taught = bool(row.alpha or row.beta)
    trained = {"configuration": row.config, "seed": row.seed, "trained on": "all windows", **dataclasses.asdict(recipe)}
    return _card(
        context,
        load_model(folder)[0],
        f"{context.folder.name}: {row.config}, seed {row.seed}",
        trained | (flat(dataclasses.asdict(distill)) if taught else {}),
        row.val_ce,
        taught_by if taught else (),
        suites,
        **compared,
    )


def _card(
    context: Context,
    model: PreTrainedModel,
    title: str,
    settings: Mapping[str, Any],
    val_ce: float | None,
    taught_by: Sequence[Teacher],
    suites: Mapping[str, Any] | None,
    **compared: str,
) -> str:
    prepared = context.prepared
    pairs = {suite: (score["accuracy"], score["stderr"]) for suite, score in (suites or {}).items()}
    return model_card(
        title=title,
        model=model,
        data=prepared.describe(),
        settings=settings,
        val_ce=float("nan") if val_ce is None else val_ce,
        teachers=[teacher.name for teacher in taught_by],
        minimal_pairs=pairs,
        origin=origin_of(prepared.name, [teacher.folder for teacher in taught_by]),
        sample=sample(model, prepared.tokenizer_dir, prepared.store),
        **compared,
    )
