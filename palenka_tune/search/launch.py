"""A whole search: data, teachers, trials, the best student and its scores; new, or gone on with.

`main(config, options)` is what `search.run` and the command call: it checks everything, prepares the data and opens the
run's folder and study, without Ray. `work.carry_out` does the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from palenka_tune.cluster.session import check_gpus
from palenka_tune.cluster.stop import Interrupted
from palenka_tune.config.console import make_console
from palenka_tune.config.files import check_writable, read_json, write_text
from palenka_tune.data import prepare as data
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation.choice import choices_in
from palenka_tune.models import hub
from palenka_tune.runs import run_folder
from palenka_tune.runs.context import Place
from palenka_tune.runs.full_disk import FullDisk
from palenka_tune.runs.options import PLACE, SearchOptions, resume_command
from palenka_tune.runs.resume import Wanted, resumed
from palenka_tune.runs.run_folder import check_name
from palenka_tune.runs.study import is_finished, new_study, open_study, storage_errors, study_url
from palenka_tune.search import final
from palenka_tune.search.mlflow.results import register
from palenka_tune.search.pipeline import carry_out
from palenka_tune.search.plan_text import plan
from palenka_tune.search.search_result import SearchResult
from palenka_tune.spaces.resolve import check_space
from palenka_tune.spaces.serialise import search_yaml, tree
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.storage.mirror import shown, working_folder
from palenka_tune.students.scoring import own_pairs
from palenka_tune.students.teacher_cache import fit_cache
from palenka_tune.students.teachers import open_given_teachers, teacher_shapes
from palenka_tune.tracking.models import check_model_name
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.store import Store, begin, redact, ui_command
from palenka_tune.tracking.tags import PARENT
from palenka_tune.tracking.tracker import Tracker

EXPERIMENT = "palenka_tune"


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
    if options.resume_or_start:
        options = _begun_or_not(options)
    if options.resume and options.dry_run:
        raise UserError("--dry-run and --resume do not go together; give one of them")
    check_gpus(options.gpus_per_trial, options.address)
    if options.minimal_pairs:
        for choice in choices_in(options.minimal_pairs):
            choice.read()
    url = study_url(options.study_storage)
    if url is not None and url == os.environ.get("MLFLOW_TRACKING_URI"):
        raise UserError(
            f"--study-storage and MLFLOW_TRACKING_URI are both {redact(url)}, and Optuna and MLflow cannot share a "
            "database; give each its own"
        )
    if options.register is not None:
        check_model_name(options.register)
    if options.push_to_hub and not options.dry_run:
        hub.check_push(options.push_to_hub)
    storage = working_folder(options.storage)
    folder = _folder(config, options, storage)
    if config is not None:
        data.check(config.experiment.data)
        if options.dry_run:
            console.print(plan(config), markup=False)
            return SearchResult(folder, {})
    check_writable(options.storage)
    full = FullDisk(storage, log)
    with contextlib.ExitStack() as stack:
        study = None
        if options.resume:
            folder.mkdir(exist_ok=True)
            stack.enter_context(run_folder.locked(folder))
            study = open_study(folder, url, full)
        wanted = None if study is None else Wanted.of(study)
        if wanted is not None and study is not None:
            config, changed = resumed(wanted, folder, config, options.again, log)
            more = wanted.samples != config.search.samples
            if is_finished(study, folder) and (more or not final.wanted(config, study)):
                return _finished(folder, storage, options, more=more, log=log)
            log(f"going on with {shown(folder)}")
            wanted = changed
        elif config is None:
            raise UserError(f"--resume: nothing was begun in {folder}; delete it and start the search again")
        store = begin(None, storage)
        log(plan(config))
        prepared = data.prepare(config.experiment.data, storage, log=log)
        log(prepared.describe())
        given = open_given_teachers(config.experiment, prepared)
        shapes = teacher_shapes(config.experiment, given)
        if given:
            check_space(config, config.space_name, shapes)
        if wanted is None:
            asked = tree(config)
            config = fit_cache(config, shapes, prepared.store, storage, log)
            pairs = str(Path(options.minimal_pairs).absolute()) if options.minimal_pairs else None
            wanted = Wanted(asked, search_yaml(config, prepared.fingerprint), prepared.fingerprint, pairs)
        wanted.check_data(prepared)
        if not options.resume:
            run_folder.make(folder)
            stack.enter_context(run_folder.locked(folder))
        try:
            study = study or new_study(folder, url, full)
        except PalenkaError:
            if not options.resume:  # nothing is in it yet, and its name stays free
                shutil.rmtree(folder)
            raise
        wanted.keep(study)
        write_text(folder / "search.yaml", wanted.yaml)
        suite = options.minimal_pairs or wanted.minimal_pairs
        tracker = _tracker(folder, store)
        place = Place(
            folder,
            storage,
            prepared,
            choices_in(suite) if suite else own_pairs(prepared),
            tracker,
            console,
            log,
            started,
        )
        summary = _tracked(config, options, place, study)
    _push(folder, options, log)
    if options.register:
        log(f"best student: goes into MLflow's registry as {options.register}")
    log(f"run folder: {shown(folder)}")
    log(f"compare the trials: {ui_command(store.uri, storage, tracker.experiment_id)}")
    return SearchResult(folder, summary)


def _push(folder: Path, options: SearchOptions, log: Callable[[str], None]) -> None:
    if options.push_to_hub:
        log(f"best student: {hub.push(folder / 'best', options.push_to_hub)}")


def _tracker(folder: Path, store: Store) -> Tracker:
    return Tracker(
        folder,
        tracking_uri=store.uri,
        experiment=EXPERIMENT,
        artifact_location=store.artifacts,
        opening=store.opening,
    )


def _finished(
    folder: Path, storage: Path, options: SearchOptions, *, more: bool, log: Callable[[str], None]
) -> SearchResult:
    """A search that has ended already: whatever MLflow, or the hub, has not got of it is sent."""
    if more:
        raise UserError(
            f"--resume: the search {folder.name} is finished, and what more trials would need of it is gone; start a "
            "new search under another --name"
        )
    log(f"{shown(folder)} is finished; nothing is left to do")
    summary = read_json(folder / "summary.json")
    if options.register:
        tracker = _tracker(folder, begin(None, storage))
        register(tracker, folder, summary, options.register)
        tracker.close()
        log(f"best student: goes into MLflow's registry as {options.register}")
    else:
        try:
            replay(folder)
        except PalenkaError as error:
            log(str(error))
    _push(folder, options, log)
    return SearchResult(folder, summary)


def _begun_or_not(options: SearchOptions) -> SearchOptions:
    """With `resume` if there is a search of that name; what holds for --resume and for a new one is checked later."""
    if options.name is None:
        raise UserError("--resume-or-start needs the --name of the search that it starts or goes on with")
    folder = working_folder(options.storage) / check_name(options.name)
    return dataclasses.replace(options, resume=options.resume or run_folder.begun(folder), resume_or_start=False)


def _folder(config: SearchConfig | None, options: SearchOptions, storage: Path) -> Path:
    """The run's folder; raises `UserError` if it may not be, or has to be, there."""
    if options.resume and options.name is None:
        return run_folder.find_run(None, storage)
    folder = storage / check_name(options.name or (default_name(config) if config else ""))
    if not options.resume:
        run_folder.check_new(folder)
    elif not run_folder.begun(folder):
        raise UserError(
            f"--resume: there is no search {folder.name} in {options.storage}; leave --resume out to start it"
        )
    return folder


def _tracked(config: SearchConfig, options: SearchOptions, place: Place, study: optuna.Study) -> dict[str, Any]:
    """The search, with its run in MLflow ended in the right state whatever happens."""
    patience = 60.0
    try:
        with storage_errors():
            if study.user_attrs.get(PLACE) != options.place:
                study.set_user_attr(PLACE, options.place)  # for who looks at the search from outside
            summary = carry_out(config, options, place, study)
            if options.register:
                register(place.tracker, place.folder, summary, options.register)
            return summary
    except BaseException as error:
        place.tracker.end_run(PARENT, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        if isinstance(error, KeyboardInterrupt):
            patience = 5.0
        if isinstance(error, Interrupted):
            error.hint = f"go on with: {resume_command(place.folder.name, options.storage, options.place)}"
        raise
    finally:
        place.tracker.close(patience)


def default_name(config: SearchConfig) -> str:
    """The space and the second in which the search began, such as `dskd-20260131-154501`."""
    return f"{config.space_name}-{time.strftime('%Y%m%d-%H%M%S')}"
