"""A search from its first stage to its last, once its folder is open: read this file to know the product.

    teachers   trained by Ray Train, or found; how much they know that the student does not (headroom)
    cache      what the teachers say of every window, kept once by Ray Data
    trials     proposed by Optuna in three arms, run by Ray Tune, those that fall behind paused
    results    the best trial of each arm and the teachers scored; `best/`, `summary.json`, the report
    finalists  the best of each arm trained again on all windows with fresh seeds, scored, and a verdict

Every stage leaves what it made in the storage or the run folder, so that a search that was stopped resumes where it
was. All stages share one Ray session.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import optuna

from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.machine import free_memory
from palenka_tune.cluster.session import Resources, ray_session
from palenka_tune.config import provenance
from palenka_tune.config.build import flat
from palenka_tune.config.files import read_json, write_json
from palenka_tune.distill.loop import steps_for
from palenka_tune.runs import cost
from palenka_tune.runs.ahead import AHEAD, AfterTrials
from palenka_tune.runs.context import Context
from palenka_tune.runs.cost import CACHE, FRESH, FRESH_STEPS, SCORING, TEACHERS, TRIALS, Cost, timed, wall_seconds
from palenka_tune.runs.full_disk import FullDisk
from palenka_tune.runs.resume import check_teachers, check_teachers_are, pin_form
from palenka_tune.runs.run_folder import BEST, SEARCH_YAML
from palenka_tune.runs.study import finalists_missing, is_finished, mark_finalists, mark_finished, study_url
from palenka_tune.runs.summary import EVALUATION, SUMMARY
from palenka_tune.runs.tables import FINALISTS, write_rows
from palenka_tune.runs.tables import TRIALS as TRIALS_TABLE
from palenka_tune.search import results
from palenka_tune.search.finalists.configurations import configurations
from palenka_tune.search.finalists.train import cache_for, train_finalists
from palenka_tune.search.mlflow import notes
from palenka_tune.search.mlflow.results import datasets
from palenka_tune.search.mlflow.teachers import TeacherRuns
from palenka_tune.search.mlflow.trials import MlflowObserver
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.tune import placement as placing
from palenka_tune.search.tune.placement import Placement
from palenka_tune.search.tune.run import Job, run_trials
from palenka_tune.spaces.serialise import tree
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.status.reader import StatusReader
from palenka_tune.status.view import Display
from palenka_tune.students.bench import Bench, BenchSpec
from palenka_tune.students.headroom import HEADROOM, HeadroomNotice, headroom_of, measure_headroom
from palenka_tune.students.scoring import score_steps
from palenka_tune.students.teacher_cache import obtain_cache, search_need
from palenka_tune.students.teachers import obtain_teachers
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import NOTE, PARENT
from palenka_tune.trials.arms import arms_of, never_paused, trials_of
from palenka_tune.trials.ledger import NEVER_PAUSED, PLANNED, TOTAL_STEPS, Ledger
from palenka_tune.words import plural

logger = logging.getLogger(__name__)
TEACHER_RUNS = "palenka.teacher_runs"


def run_stages(config: SearchConfig, options: SearchOptions, context: Context, study: optuna.Study) -> dict[str, Any]:
    """Run all that remains of the search in `context.folder`; returns what `summary.json` holds."""
    ledger = open_ledger(config, context, study)
    tags = _open_mlflow_run(config, context)
    trials_are_done = is_finished(study, context.folder)
    if not trials_are_done:
        _describe_in_mlflow(config, options, context)
    with ray_session(options.address) as resources:
        with timed(study, TEACHERS):
            teachers = _teachers(config, context, tags, resources)
        if trials_are_done:
            summary = dict(read_json(context.folder / SUMMARY))
        else:
            summary = _search(config, options, context, study, ledger, teachers, tags, resources)
        if finalists_wanted(config, study):
            summary = _train_finalists(config, options, context, study, ledger, teachers, resources, summary)
    context.console.print(cost.table(_costs(study, ledger)))
    return summary


def _costs(study: optuna.Study, ledger: Ledger) -> list[Cost]:
    return cost.costs(study.user_attrs, ledger.rows(), study.user_attrs.get(TOTAL_STEPS))


def _keep_costs(study: optuna.Study, ledger: Ledger, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
    """Add where the time went to `summary.json` and MLflow; returns the summary with it."""
    found = _costs(study, ledger)
    spent = wall_seconds(study.user_attrs)
    summary = {**summary, "wall_seconds": spent, "cost": [each.to_dict() for each in found]}
    write_json(context.folder / SUMMARY, summary)
    seconds = {f"cost/{each.stage.replace(' ', '_')}_seconds": each.seconds for each in found}
    context.tracker.log_metrics(PARENT, seconds, step=0)
    return summary


def _search(
    config: SearchConfig,
    options: SearchOptions,
    context: Context,
    study: optuna.Study,
    ledger: Ledger,
    teachers: Sequence[Teacher],
    tags: dict[str, str],
    resources: Resources,
) -> dict[str, Any]:
    """The trials, from the teachers' cache to the results."""
    asked, config = config, pin_form(config, study)
    placement = placing.place(config, options, resources, _memory(options))
    if study.user_attrs.get("teachers") is not None:
        check_teachers_are(study, teachers)  # before what is known of them is overwritten
    with timed(study, CACHE):
        _headroom(config, context, study, teachers, placement)  # before anything expensive: is there anything to learn?
        cache = _cache(config, context, study, teachers, tags, resources)
    spec = BenchSpec(
        store=str(context.prepared.store.folder),
        student=config.experiment.student,
        teachers=tuple(str(teacher.folder) for teacher in teachers),
        device=placement.device,
        cache=None if cache is None else str(cache.folder),
    )
    bench = Bench(spec)
    steps = bench.total_steps(config.experiment.recipe)
    job = Job(config, spec, context.folder, placement, steps, context.prepared.store.vocabulary_size)
    planned = trials_of(ledger.arms.values())
    ahead = _after_trials(config, context, ledger, len(teachers), placement.concurrent)
    known = {
        TOTAL_STEPS: steps,
        PLANNED: planned,
        NEVER_PAUSED: never_paused(ledger.arms.values(), ledger.sampler),
        AHEAD: ahead.to_dict(),
    }
    for name, value in known.items():
        if study.user_attrs.get(name) != value:
            study.set_user_attr(name, value)  # for a status view of the search
    if options.promote:
        logger.info(f"promoted: {', '.join(ledger.promote(options.promote, steps)) or 'no trial is paused'}")
    tags["palenka.teachers"] = " ".join(teacher.fingerprint for teacher in teachers)
    context.tracker.set_tags(PARENT, tags)
    about = notes.about(context, teachers, options)
    linked = {TEACHER_RUNS: notes.teacher_runs(teachers), NOTE: notes.begun(config, about)}
    context.tracker.set_linked_tags(PARENT, linked)
    with timed(study, TRIALS):
        _trials(job, ledger, options, context, tags)
    more = finalists_wanted(asked, study) and bool(configurations(job.rows(ledger)))
    with timed(study, SCORING):
        summary = results.trial_results(job, bench, ledger, teachers, context, about, more)
    summary = _keep_costs(study, ledger, context, summary)
    mark_finished(study, context.folder)
    results.forget_scratch(job, keep_checkpoints=not options.discard_checkpoints)
    results.publish_report(context, study)
    return summary


def _memory(options: SearchOptions) -> int | None:
    """Free bytes of memory for the trials of a local search; a cluster's nodes have their own."""
    return None if options.address else free_memory()


def _open_mlflow_run(config: SearchConfig, context: Context) -> dict[str, str]:
    """The search's own run in MLflow, new or resumed; returns the tags that all runs of the search have."""
    folder, tracker = context.folder, context.tracker
    tags = {"palenka.run": folder.name, "palenka.git_commit": provenance.git_commit() or "unknown"}
    tags["palenka.data"] = context.prepared.fingerprint
    tracker.start_run(PARENT, name=folder.name, tags=tags, params=flat(tree(config)))
    tracker.log_artifact(PARENT, folder / SEARCH_YAML)
    return tags


def _describe_in_mlflow(config: SearchConfig, options: SearchOptions, context: Context) -> None:
    context.tracker.log_inputs(PARENT, datasets(context.prepared, config.experiment.student))
    context.tracker.set_linked_tags(PARENT, {NOTE: notes.begun(config, notes.about(context, (), options))})


def open_ledger(config: SearchConfig, context: Context, study: optuna.Study) -> Ledger:
    """The ledger of the search whose study is open."""
    return Ledger(
        study,
        space=config.space,
        sampler=config.search.sampler,
        arms=arms_of(config),
        seed=config.experiment.seed,
        objective=config.search.objective,
    )


def _teachers(config: SearchConfig, context: Context, tags: dict[str, str], resources: Resources) -> list[Teacher]:
    """The teachers, trained where they are missing, each a run of its own in MLflow."""
    runs = TeacherRuns(context.tracker, config.experiment, tags)
    teachers: list[Teacher] = []
    try:
        teachers = obtain_teachers(
            config.experiment,
            context.prepared,
            context.storage,
            use_gpu=resources.gpus > 0,
            on_metrics=runs,
        )
    finally:
        runs.end(teachers)
    return teachers


def _cache(
    config: SearchConfig,
    context: Context,
    study: optuna.Study,
    teachers: Sequence[Teacher],
    tags: dict[str, str],
    resources: Resources,
) -> TeacherCache | None:
    """What the teachers say of every window that a trial sees, built or found."""
    need = search_need(config, tuple(teacher.shape for teacher in teachers))
    store = context.prepared.store
    cache = obtain_cache(config.experiment, need, teachers, store, context.storage, lambda: resources)
    check_teachers(study, teachers, cache)
    if cache is not None:
        tags["palenka.cache"] = cache.folder.name
        params = {name.replace("/", "."): value for name, value in cache.metrics().items()}
        context.tracker.log_params(PARENT, params)
    return cache


def _after_trials(config: SearchConfig, context: Context, ledger: Ledger, teachers: int, at_a_time: int) -> AfterTrials:
    """What is to come when the trials are done."""
    recipe, store, arms = config.experiment.recipe, context.prepared.store, len(ledger.arms)
    return AfterTrials(
        models=arms + teachers,
        students=arms * config.search.seeds,
        student_steps=steps_for(recipe, len(store.windows("train"))),
        score_steps=score_steps(context.suites, store, recipe.batch_size * store.window),
        at_a_time=at_a_time,
    )


def _headroom(
    config: SearchConfig, context: Context, study: optuna.Study, teachers: Sequence[Teacher], placement: Placement
) -> None:
    """Measure the teachers on the dev windows of the trials, and keep what they are worth in the study."""
    store = context.prepared.store.folder
    headroom = measure_headroom(config.experiment, teachers, store, context.folder, placement.share, placement.device)
    if headroom is None:
        return
    for sentence in headroom.sentences():
        logger.info(sentence)
    if study.user_attrs.get(HEADROOM) != headroom.to_dict():
        study.set_user_attr(HEADROOM, headroom.to_dict())
    averages = {"logit_average": headroom.logit_average, "probability_average": headroom.probability_average}
    context.tracker.log_metrics(PARENT, {f"headroom/{name}": value for name, value in averages.items()}, step=0)


def _trials(job: Job, ledger: Ledger, options: SearchOptions, context: Context, tags: dict[str, str]) -> None:
    """Run the trials that are left; however they end, `trials.parquet` and `summary.json` tell how far they came."""
    config, url = job.config, study_url(options.study_storage)
    observer = MlflowObserver(
        context.tracker, lambda proposal: config.settings_of(proposal.values).flat(), tags, job.rungs
    )
    observer.settle(ledger.proposed())
    notice = HeadroomNotice(lambda: headroom_of(ledger.study.user_attrs, ledger.rows()))
    reader = StatusReader(context.folder, context.storage, url)
    display = Display(reader, context.console, quiet=options.quiet, plain=options.plain)
    done, half = len(ledger.rows()), len(ledger.waiting)
    resumed = f"; {done} are done already and {half} resume from a checkpoint" if done or half else ""
    logger.info(
        f"{plural(trials_of(ledger.arms.values()), 'trial')} of {plural(job.total_steps, 'step')}, "
        f"{job.placement.describe()}{resumed}"
    )
    try:
        if ledger.remaining:
            with display:
                full = FullDisk(context.storage)
                run_trials(job, ledger, [display, observer, notice], full.when_room)
    finally:
        observer.close()
        # a full disk or a database that is away must not hide what ended the search
        with contextlib.suppress(OSError, optuna.exceptions.StorageInternalError):
            names = [parameter.name for parameter in config.space.parameters]
            write_rows(context.folder / TRIALS_TABLE, job.rows(ledger), names)
            results.write_trial_summary(job, ledger, context, state="searching")


def finalists_wanted(config: SearchConfig, study: optuna.Study) -> bool:
    """Whether finalists are asked for that are not trained yet."""
    return finalists_missing(study.user_attrs, config.search.seeds)


def _train_finalists(
    config: SearchConfig,
    options: SearchOptions,
    context: Context,
    study: optuna.Study,
    ledger: Ledger,
    teachers: Sequence[Teacher],
    resources: Resources,
    summary: dict[str, Any],
) -> dict[str, Any]:
    """The finalists and the verdict; needs nothing of the trials but the ledger."""
    chosen = configurations(ledger.rows())
    if not chosen:
        logger.info("no verdict: no trial was trained to its end")
        context.tracker.end_run(PARENT, "FINISHED")
        return summary
    context.tracker.start_run(PARENT, name=context.folder.name)  # resumes the search's
    check_teachers_are(study, teachers)
    cache = cache_for(config, chosen, teachers, context, resources)
    form = config if cache else placing.with_teachers(config)
    placement = placing.place(form, options, resources, _memory(options))
    with timed(study, FRESH):
        rows = train_finalists(config, chosen, teachers, cache, context, placement)
    study.set_user_attr(FRESH_STEPS, sum(row.steps or 0 for row in rows))
    mark_finished(study, context.folder, but=(SUMMARY, EVALUATION, FINALISTS, BEST))
    about = notes.about(context, teachers, options)
    with timed(study, SCORING):
        summary = results.finalist_results(config, chosen, rows, teachers, placement, context, about)
    summary = _keep_costs(study, ledger, context, summary)
    mark_finished(study, context.folder)
    mark_finalists(study, config.search.seeds)
    results.publish_report(context, study)
    return summary
