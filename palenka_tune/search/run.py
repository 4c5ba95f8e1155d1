"""A whole search: data, teachers, trials, the best student and its scores; new, or gone on with.

`main(config, options)` is what `python -m palenka_tune.search` calls. Phases: check everything, prepare the data (no
Ray), open Ray once for teachers and trials, close it, then export, score and report.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from palenka_tune.cluster.session import check_gpus, ray_session
from palenka_tune.cluster.stop import Interrupted
from palenka_tune.config.files import check_writable, read_json, write_text
from palenka_tune.data import prepare as data
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation.suite import read_suite
from palenka_tune.search import caching, finish, provenance, run_folder, teaching, tuning
from palenka_tune.search.config import SearchConfig, check_name, check_space
from palenka_tune.search.disk import FullDisk
from palenka_tune.search.display import Display
from palenka_tune.search.experiment import Experiment
from palenka_tune.search.finish import Place
from palenka_tune.search.ledger import ANCHORS, Ledger, anchor_values
from palenka_tune.search.mlflow_observer import PARENT, MlflowObserver
from palenka_tune.search.plan import default_name, flat, plan, samples, search_yaml, tree
from palenka_tune.search.results import write_trials
from palenka_tune.search.resume import Wanted, check_teachers, pin_form, resumed
from palenka_tune.search.student import Bench, BenchSpec
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.store import begin, redact, ui_command
from palenka_tune.tracking.tracker import Tracker

EXPERIMENT = "palenka_tune"


@dataclass(frozen=True)
class SearchOptions:
    """Where and how a search runs; nothing here changes what a trial trains.

    `concurrent` and `gpus_per_trial` None: chosen from the cluster. `minimal_pairs` None: the corpus' own, if any.
    With `resume` the search `name` goes on (None: the one that ran last); `samples` then asks for more trials.
    """

    name: str | None = None
    storage: str = "./palenka_runs"
    concurrent: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    minimal_pairs: str | None = None
    study_storage: str | None = None
    resume: bool = False
    samples: int | None = None
    quiet: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class SearchResult:
    """The run's folder and what `summary.json` holds (empty after a dry run)."""

    folder: Path
    summary: dict[str, Any]


def main(config: SearchConfig | None, options: SearchOptions, console: Console | None = None) -> SearchResult:
    """Run a search to its end; raises `UserError` before any work for input that cannot work.

    A search that is resumed may go without `config`: it is then what it was started with.
    """
    console = console or make_console()
    log: Callable[[str], None] = (
        (lambda line: None) if options.quiet else (lambda line: console.print(line, markup=False))
    )
    started = time.monotonic()
    if options.concurrent is not None and options.concurrent < 1:
        raise UserError(f"--concurrent is {options.concurrent}; it must be 1 or more")
    if options.resume and options.dry_run:
        raise UserError("--dry-run and --resume do not go together; give one of them")
    check_gpus(options.gpus_per_trial, options.address)
    if options.minimal_pairs:
        read_suite(options.minimal_pairs)
    url = run_folder.study_url(options.study_storage)
    if url is not None and url == os.environ.get("MLFLOW_TRACKING_URI"):
        raise UserError(
            f"--study-storage and MLFLOW_TRACKING_URI are both {redact(url)}, and Optuna and MLflow cannot share a "
            "database; give each its own"
        )
    storage = Path(options.storage).expanduser().absolute()
    folder = _folder(config, options, storage)
    if config is not None:
        data.check(config.experiment.data)
        if options.dry_run:
            console.print(plan(config), markup=False)
            return SearchResult(folder, {})
    check_writable(storage)
    full = FullDisk(storage, log)
    with contextlib.ExitStack() as stack:
        study = None
        if options.resume:
            stack.enter_context(run_folder.locked(folder))
            study = run_folder.open_study(folder, url, full)
        wanted = None if study is None else Wanted.of(study)
        if wanted is not None and study is not None:
            config, changed = resumed(wanted, folder, config, options.samples, log)
            if run_folder.is_finished(study, folder):
                return _finished(folder, more=changed != wanted, log=log)
            log(f"going on with {folder}")
            config, wanted = pin_form(config, study), changed
        elif config is None:
            raise UserError(f"--resume: nothing was begun in {folder}; delete it and start the search again")
        store = begin(None, storage)
        log(plan(config))
        prepared = data.prepare(config.experiment.data, storage, log=log)
        log(prepared.describe())
        given = teaching.open_given(config.experiment, prepared)
        shapes = teaching.shapes(config.experiment, given)
        if given:
            check_space(config, config.space_name, shapes)
        if wanted is None:
            asked = tree(config)
            config = caching.fit(config, shapes, prepared.store, storage, log)
            pairs = str(Path(options.minimal_pairs).absolute()) if options.minimal_pairs else None
            wanted = Wanted(asked, search_yaml(config, prepared.fingerprint), prepared.fingerprint, pairs)
        wanted.check_data(prepared)
        if not options.resume:
            run_folder.make(folder)
            stack.enter_context(run_folder.locked(folder))
        try:
            study = study or run_folder.new_study(folder, url, full)
        except PalenkaError:
            if not options.resume:  # nothing is in it yet, and its name stays free
                shutil.rmtree(folder)
            raise
        wanted.keep(study)
        write_text(folder / "search.yaml", wanted.yaml)
        suite = options.minimal_pairs or wanted.minimal_pairs
        tracker = Tracker(
            folder,
            tracking_uri=store.uri,
            experiment=EXPERIMENT,
            artifact_location=store.artifacts,
            opening=store.opening,
        )
        place = Place(
            folder,
            storage,
            prepared,
            Path(suite) if suite else prepared.minimal_pairs,
            tracker,
            console,
            log,
            started,
        )
        summary = _tracked(config, options, place, study)
    log(f"run folder: {folder}")
    log(f"compare the trials: {ui_command(store.uri, storage, tracker.experiment_id)}")
    return SearchResult(folder, summary)


def _finished(folder: Path, *, more: bool, log: Callable[[str], None]) -> SearchResult:
    """A search that has ended already: whatever MLflow has not got of it is sent."""
    if more:
        raise UserError(
            f"--resume: the search {folder.name} is finished, and what more trials would need of it is gone; start a "
            "new search under another --name"
        )
    log(f"{folder} is finished; nothing is left to do")
    try:
        replay(folder)
    except PalenkaError as error:
        log(str(error))
    return SearchResult(folder, read_json(folder / "summary.json"))


def _folder(config: SearchConfig | None, options: SearchOptions, storage: Path) -> Path:
    """The run's folder; raises `UserError` if it may not be, or has to be, there."""
    if options.resume and options.name is None:
        return run_folder.latest(storage)
    folder = storage / check_name(options.name or (default_name(config) if config else ""))
    if not options.resume:
        run_folder.check_new(folder)
    elif not folder.is_dir():
        raise UserError(f"--resume: there is no search {folder.name} in {storage}; leave --resume out to start it")
    return folder


def _tracked(config: SearchConfig, options: SearchOptions, place: Place, study: optuna.Study) -> dict[str, Any]:
    """The search, with its run in MLflow ended in the right state whatever happens."""
    patience = 60.0
    try:
        with run_folder.storage_errors():
            return _run(config, options, place, study)
    except BaseException as error:
        place.tracker.end_run(PARENT, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        if isinstance(error, KeyboardInterrupt):
            patience = 5.0
        if isinstance(error, Interrupted):
            error.hint = f"go on with: {_command(options, place)}"
        raise
    finally:
        place.tracker.close(patience)


def _command(options: SearchOptions, place: Place) -> str:
    """What a person types to go on with the search."""
    parts = ["python", "-m", "palenka_tune.search", "--resume", "--name", place.folder.name]
    parts += ["--storage", options.storage]
    more = {
        "--address": options.address,
        "--study-storage": options.study_storage,
        "--concurrent": options.concurrent,
        "--gpus-per-trial": options.gpus_per_trial,
        "--minimal-pairs": options.minimal_pairs,
    }
    parts += [part for name, value in more.items() if value is not None for part in (name, str(value))]
    return shlex.join(parts)


def _run(config: SearchConfig, options: SearchOptions, place: Place, study: optuna.Study) -> dict[str, Any]:
    experiment, tracker, folder = config.experiment, place.tracker, place.folder
    tags = {"palenka.run": folder.name, "palenka.git_commit": provenance.git_commit() or "unknown"}
    tags["palenka.data"] = place.prepared.fingerprint
    tracker.start_run(PARENT, name=folder.name, tags=tags, params=flat(config.tree()))
    tracker.log_artifact(PARENT, folder / "search.yaml")
    ledger = Ledger(
        study,
        space=config.space,
        sampler=config.search.sampler,
        samples=samples(config),
        seed=experiment.seed,
        anchors=anchor_values(experiment.distill.alpha),
        started=place.started,
    )
    with ray_session(options.address) as resources:
        placement = tuning.place(config, options, resources)
        teachers = _teachers(experiment, place, tags, use_gpu=resources.gpus > 0)
        cache = caching.obtain(
            experiment,
            caching.search_need(config, tuple(teacher.shape for teacher in teachers)),
            teachers,
            place.prepared.store,
            place.storage,
            lambda: resources,
            place.log,
        )
        check_teachers(study, teachers, cache)
        if cache is not None:
            tags["palenka.cache"] = cache.folder.name
            tracker.log_metrics(PARENT, cache.metrics(), step=0)
        spec = BenchSpec(
            store=str(place.prepared.store.folder),
            student=experiment.student,
            teachers=tuple(str(teacher.folder) for teacher in teachers),
            device=placement.device,
            cache=None if cache is None else str(cache.folder),
        )
        bench = Bench(spec)
        job = tuning.Job(
            config, spec, folder, placement, bench.total_steps(experiment.recipe), place.prepared.store.vocabulary_size
        )
        tags["palenka.teachers"] = " ".join(teacher.fingerprint for teacher in teachers)
        tracker.set_tags(PARENT, tags)
        observer = MlflowObserver(tracker, lambda proposal: flat(job.settings(proposal)), tags)
        trials = samples(config) + len(ANCHORS)
        observer.settle(ledger.rows())
        display = Display(trials=trials, total_steps=job.total_steps, quiet=options.quiet, console=place.console)
        display.known(job.rows(ledger))
        place.log(
            f"{trials - len(ANCHORS)} trials and {len(ANCHORS)} anchors of {job.total_steps} steps, "
            f"{placement.describe()}{_done_already(ledger)}"
        )
        try:
            if ledger.remaining:
                with display:
                    tuning.run(
                        job, ledger, [display, observer], place.log, FullDisk(place.storage, place.log).when_room
                    )
        finally:
            observer.close()
            # of a full disk or a database that is away; whatever ended the search is to be heard
            with contextlib.suppress(OSError, optuna.exceptions.StorageInternalError):
                write_trials(folder / "trials.parquet", job.rows(ledger), config.space)
                finish.write(job, ledger, place, state="searching")
    summary = finish.report(job, bench, ledger, teachers, place)
    run_folder.close(study, folder)
    finish.clean(job)
    return summary


def _done_already(ledger: Ledger) -> str:
    done, half = len(ledger.rows()), len(ledger.interrupted)
    return f"; {done} are done already and {half} go on from a checkpoint" if done or half else ""


def _teachers(experiment: Experiment, place: Place, tags: dict[str, str], *, use_gpu: bool) -> list[Teacher]:
    """The teachers, trained where they are missing, each a run of its own in MLflow."""
    runs = teaching.TeacherRuns(place.tracker, experiment, tags)
    teachers: list[Teacher] = []
    try:
        teachers = teaching.obtain(
            experiment, place.prepared, place.storage, use_gpu=use_gpu, log=place.log, on_metrics=runs
        )
    finally:
        runs.end(teachers)
    return teachers


def make_console() -> Console:
    """Standard output; a file or pipe is as wide as the tables need."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=120)
