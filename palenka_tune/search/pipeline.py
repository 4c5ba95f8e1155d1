"""The work of a search whose folder is open: teachers, cache and trials in one Ray session, then scores and report."""

from __future__ import annotations

import contextlib
from typing import Any

import optuna

from palenka_tune.cluster.session import ray_session
from palenka_tune.config import provenance
from palenka_tune.config.build import flat
from palenka_tune.runs.context import Place
from palenka_tune.runs.full_disk import FullDisk
from palenka_tune.runs.options import SearchOptions
from palenka_tune.runs.resume import check_teachers, pin_form
from palenka_tune.runs.study import is_finished, mark_finished, study_url
from palenka_tune.runs.summary import write_trials
from palenka_tune.search import final, results
from palenka_tune.search.finalists.train import configurations
from palenka_tune.search.mlflow import notes
from palenka_tune.search.mlflow import results as tracked
from palenka_tune.search.mlflow.teachers import TeacherRuns
from palenka_tune.search.mlflow.trials import MlflowObserver
from palenka_tune.search.tune.placement import place as place_trials
from palenka_tune.search.tune.run import Job
from palenka_tune.search.tune.run import run as run_trials
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.serialise import tree
from palenka_tune.spaces.settings import SearchConfig, samples
from palenka_tune.status.live import Display
from palenka_tune.status.reader import StatusReader
from palenka_tune.students.bench import Bench, BenchSpec
from palenka_tune.students.teacher_cache import obtain_cache, search_need
from palenka_tune.students.teachers import obtain_teachers
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import NOTE, PARENT
from palenka_tune.trials.arms import ANCHORS, anchor_values
from palenka_tune.trials.ledger import TOTAL_STEPS, Ledger

TEACHER_RUNS = "palenka.teacher_runs"


def carry_out(config: SearchConfig, options: SearchOptions, place: Place, study: optuna.Study) -> dict[str, Any]:
    """Run all that remains of the search whose folder is `place.folder`; returns what `summary.json` holds."""
    asked, config = config, pin_form(config, study)  # the last stage has another cache
    experiment, tracker, folder = config.experiment, place.tracker, place.folder
    tags = {"palenka.run": folder.name, "palenka.git_commit": provenance.git_commit() or "unknown"}
    tags["palenka.data"] = place.prepared.fingerprint
    tracker.start_run(PARENT, name=folder.name, tags=tags, params=flat(tree(config)))
    tracker.log_artifact(PARENT, folder / "search.yaml")
    ledger = open_ledger(config, place, study)
    if is_finished(study, folder):
        return final.carry_out(asked, options, place, study, ledger)
    tracker.log_inputs(PARENT, tracked.datasets(place.prepared, experiment.student))
    tracker.set_linked_tags(PARENT, {NOTE: notes.begun(config, notes.about(place, (), options))})
    with ray_session(options.address) as resources:
        placement = place_trials(config, options, resources)
        teachers = _teachers(experiment, place, tags, use_gpu=resources.gpus > 0)
        cache = obtain_cache(
            experiment,
            search_need(config, tuple(teacher.shape for teacher in teachers)),
            teachers,
            place.prepared.store,
            place.storage,
            lambda: resources,
            place.log,
        )
        check_teachers(study, teachers, cache)
        if cache is not None:
            tags["palenka.cache"] = cache.folder.name
            tracker.log_params(PARENT, {name.replace("/", "."): value for name, value in cache.metrics().items()})
        spec = BenchSpec(
            store=str(place.prepared.store.folder),
            student=experiment.student,
            teachers=tuple(str(teacher.folder) for teacher in teachers),
            device=placement.device,
            cache=None if cache is None else str(cache.folder),
        )
        bench = Bench(spec)
        job = Job(
            config, spec, folder, placement, bench.total_steps(experiment.recipe), place.prepared.store.vocabulary_size
        )
        if study.user_attrs.get(TOTAL_STEPS) != job.total_steps:
            study.set_user_attr(TOTAL_STEPS, job.total_steps)  # for who looks at the search from outside
        tags["palenka.teachers"] = " ".join(teacher.fingerprint for teacher in teachers)
        tracker.set_tags(PARENT, tags)
        about = notes.about(place, teachers, options)
        runs = {TEACHER_RUNS: notes.teacher_runs(teachers), NOTE: notes.begun(config, about)}
        tracker.set_linked_tags(PARENT, runs)
        observer = MlflowObserver(tracker, lambda proposal: flat(job.settings(proposal)), tags, job.rungs)
        trials = samples(config) + len(ANCHORS)
        observer.settle(ledger.rows())
        url = study_url(options.study_storage)
        display = Display(
            StatusReader(folder, place.storage, url), place.console, quiet=options.quiet, plain=options.plain
        )
        place.log(
            f"{trials - len(ANCHORS)} trials and {len(ANCHORS)} anchors of {job.total_steps} steps, "
            f"{placement.describe()}{_done_already(ledger)}"
        )
        try:
            if ledger.remaining:
                with display:
                    run_trials(
                        job, ledger, [display, observer], place.log, FullDisk(place.storage, place.log).when_room
                    )
        finally:
            observer.close()
            # of a full disk or a database that is away; whatever ended the search is to be heard
            with contextlib.suppress(OSError, optuna.exceptions.StorageInternalError):
                write_trials(folder / "trials.parquet", job.rows(ledger), config.space)
                results.write(job, ledger, place, state="searching")
    more = final.wanted(asked, study)
    summary = results.report(
        job, bench, ledger, teachers, place, about, more=more and bool(configurations(asked, ledger.rows()))
    )
    mark_finished(study, folder)
    results.clean(job)
    results.publish_report(place, study)
    if more:
        return final.carry_out(asked, options, place, study, ledger)
    return summary


def open_ledger(config: SearchConfig, place: Place, study: optuna.Study) -> Ledger:
    """The ledger of the search whose study is open."""
    return Ledger(
        study,
        space=config.space,
        sampler=config.search.sampler,
        samples=samples(config),
        seed=config.experiment.seed,
        anchors=anchor_values(config.experiment.distill.alpha),
        objective=config.search.objective,
        started=place.started,
    )


def _done_already(ledger: Ledger) -> str:
    done, half = len(ledger.rows()), len(ledger.waiting)
    return f"; {done} are done already and {half} go on from a checkpoint" if done or half else ""


def _teachers(experiment: Experiment, place: Place, tags: dict[str, str], *, use_gpu: bool) -> list[Teacher]:
    """The teachers, trained where they are missing, each a run of its own in MLflow."""
    runs = TeacherRuns(place.tracker, experiment, tags)
    teachers: list[Teacher] = []
    try:
        teachers = obtain_teachers(
            experiment, place.prepared, place.storage, use_gpu=use_gpu, log=place.log, on_metrics=runs
        )
    finally:
        runs.end(teachers)
    return teachers
