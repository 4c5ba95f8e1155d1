"""From options to a running search: everything is checked, the data prepared, the run's folder and study opened.

`main(config, options)` is what `search.run` and the command call. Nothing here starts Ray; `pipeline.run_stages` does
the work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import time
from pathlib import Path

import optuna
from rich.console import Console

from palenka_tune.cluster.session import check_gpus
from palenka_tune.cluster.stop import interrupted
from palenka_tune.config.console import make_console, progress_on
from palenka_tune.config.files import check_writable, read_json, write_text
from palenka_tune.data import prepare as data
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation.suites import SuiteChoice, choices_in
from palenka_tune.models import hub
from palenka_tune.runs import run_folder
from palenka_tune.runs.context import Context
from palenka_tune.runs.full_disk import FullDisk
from palenka_tune.runs.place import PLACE, resume_command
from palenka_tune.runs.resume import Wanted, resumed
from palenka_tune.runs.run_folder import CHECKPOINTS, SEARCH_YAML, check_name
from palenka_tune.runs.study import check_driver, is_finished, new_study, open_study, reopen, storage_errors, study_url
from palenka_tune.runs.summary import SUMMARY
from palenka_tune.search.last_lines import last_lines
from palenka_tune.search.mlflow.results import register
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.pipeline import finalists_wanted, run_stages
from palenka_tune.search.plan_text import plan
from palenka_tune.search.search_result import SearchResult
from palenka_tune.spaces.given import open_config
from palenka_tune.spaces.serialise import search_yaml, tree
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.storage import mirror
from palenka_tune.storage.mirror import shown, working_folder
from palenka_tune.students.scoring import check_suites, own_pairs
from palenka_tune.students.teacher_cache import fit_cache
from palenka_tune.students.teachers import open_given_teachers, teacher_shapes
from palenka_tune.tracking.models import check_model_name
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.store import Store, begin, redact, ui_command, ui_page
from palenka_tune.tracking.tags import EXPERIMENT, PARENT
from palenka_tune.tracking.tracker import Tracker

logger = logging.getLogger(__name__)


def main(config: SearchConfig | None, options: SearchOptions, console: Console | None = None) -> SearchResult:
    """Run a search to its end; raises `UserError` before any work for input that cannot work.

    A search that is resumed may go without `config`: it is then what it was started with.
    """
    console = console or make_console()
    with progress_on(console, quiet=options.quiet):
        return _launch(config, options, console)


def _launch(config: SearchConfig | None, options: SearchOptions, console: Console) -> SearchResult:
    if options.resume_or_start:
        options = _resume_if_begun(options)
    url = _check_options(options)
    storage = working_folder(options.storage)
    folder = _folder(config, options, storage)
    if config is not None:
        notes = data.check(config.experiment.data)
        config = open_config(config, storage, weights=not options.dry_run)
        if options.dry_run:
            for line in (plan(config, storage), *(f"  {line}" for line in (*notes.read, *notes.doubts))):
                console.print(line, markup=False)
            return SearchResult(folder, {})
    check_writable(options.storage)
    full = FullDisk(storage)
    with contextlib.ExitStack() as stack:
        study, wanted = None, None
        if options.resume:
            folder.mkdir(exist_ok=True)
            stack.enter_context(run_folder.locked(folder))
            study = open_study(folder, url, full)
            wanted = None if study is None else Wanted.of(study)
        if study is not None and wanted is not None:
            config, changed = resumed(wanted, folder, config, options.again)
            finished = is_finished(study, folder)
            more = wanted.samples != config.search.samples
            if options.promote and not finished:
                raise UserError(
                    f"--promote: the search {folder.name} is not finished and still promotes by itself; resume it first"
                )
            if finished and (more or options.promote):
                reopen(study)
            elif finished and not finalists_wanted(config, study):
                return _finished(folder, storage, options)
            logger.info(f"resuming {shown(folder)}")
            wanted = changed
        elif config is None:
            raise UserError(f"--resume: nothing was begun in {folder}; delete it and start the search again")
        store = begin(None, storage)
        logger.info(plan(config, storage))
        config, wanted, prepared = _prepare(config, wanted, options, storage)
        suites = _suites(config, options.minimal_pairs or wanted.minimal_pairs, prepared)
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
        write_text(folder / SEARCH_YAML, wanted.yaml)
        tracker = _tracker(folder, store)
        context = Context(folder, storage, prepared, suites, tracker, console)
        _tracked(config, options, context, study)
    _hand_over(folder, options)
    summary = read_json(folder / SUMMARY)
    ui, page = ui_command(store.uri, storage, tracker.experiment_id), ui_page(store.uri, tracker.experiment_id)
    resume = resume_command(folder.name, options.storage, options.place)
    for line in last_lines(folder, summary, ui, page, resume):
        console.print(line, markup=False)
    return SearchResult(folder, summary)


def default_name(config: SearchConfig) -> str:
    """The space and the second in which the search began, such as `dskd-20260131-154501`."""
    return f"{run_folder.name_from(config.space_name)}-{time.strftime('%Y%m%d-%H%M%S')}"


def _check_options(options: SearchOptions) -> str | None:
    """Refuse options that cannot work; returns the URL of the study's database, if it is in one."""
    if options.concurrent is not None and options.concurrent < 1:
        raise UserError(f"--concurrent is {options.concurrent}; it must be 1 or more")
    if options.promote is not None and not options.resume:
        raise UserError("--promote continues trials of a finished search; give it with --resume")
    if options.promote is not None and options.promote < 1:
        raise UserError(f"--promote is {options.promote}; it must be 1 or more")
    if options.resume and options.dry_run:
        raise UserError("--dry-run and --resume do not go together; give one of them")
    check_gpus(options.gpus_per_trial, options.address)
    for choice in choices_in(options.minimal_pairs) if options.minimal_pairs else ():
        choice.read()
    url = study_url(options.study_storage)
    if url is not None:
        check_driver(url)
        if url == os.environ.get("MLFLOW_TRACKING_URI"):
            raise UserError(
                f"--study-storage and MLFLOW_TRACKING_URI are both {redact(url)}, and Optuna and MLflow cannot share "
                "a database; give each its own"
            )
    if options.register is not None:
        check_model_name(options.register)
    if options.push_to_hub and not options.dry_run:
        hub.check_push(options.push_to_hub)
    return url


def _prepare(
    config: SearchConfig, wanted: Wanted | None, options: SearchOptions, storage: Path
) -> tuple[SearchConfig, Wanted, data.PreparedData]:
    """The data, and for a new search (`wanted` None) the configuration that is kept: ranks for which the cache has no
    room are left out."""
    prepared = data.prepare(config.experiment.data, storage)
    logger.info(prepared.describe())
    shapes = teacher_shapes(config.experiment, open_given_teachers(config.experiment, prepared))
    if wanted is None:
        asked = tree(config)
        config = fit_cache(config, shapes, prepared.store, storage)
        pairs = str(Path(options.minimal_pairs).absolute()) if options.minimal_pairs else None
        wanted = Wanted(asked, search_yaml(config, prepared.fingerprint), prepared.fingerprint, pairs)
    wanted.check_data(prepared)
    return config, wanted, prepared


def _suites(config: SearchConfig, pairs: str | Path | None, prepared: data.PreparedData) -> tuple[SuiteChoice, ...]:
    """What the models are scored on: the folder `pairs`, or what comes with the corpus; raises `UserError` for a pair
    that one of them cannot read."""
    suites = choices_in(pairs) if pairs else own_pairs(prepared)
    experiment = config.experiment
    students = {experiment.student, *(each.student for each in config.corners)}
    presets = [each.architecture for each in students if each.init != "teacher"]
    presets += [each.architecture for each in experiment.teachers if not each.is_given]
    given = [Path(each.preset) for each in experiment.teachers if each.is_given]
    check_suites(suites, prepared.tokenizer_dir, presets, experiment.data.window, given)
    return suites


def _hand_over(folder: Path, options: SearchOptions) -> None:
    """Send the best student to the hub; say where else it goes."""
    if options.push_to_hub:
        logger.info(f"best student: {hub.push(folder / 'best', options.push_to_hub)}")
    if options.register:
        logger.info(f"best student: goes into MLflow's registry as {options.register}")


def _tracker(folder: Path, store: Store) -> Tracker:
    return Tracker(
        folder,
        tracking_uri=store.uri,
        experiment=EXPERIMENT,
        artifact_location=store.artifacts,
        opening=store.opening,
    )


def _finished(folder: Path, storage: Path, options: SearchOptions) -> SearchResult:
    """A search that has ended already: what MLflow, or the hub, has not got of it is sent."""
    if options.discard_checkpoints:
        mirror.forget_folder(folder / CHECKPOINTS)
    logger.info(f"{shown(folder)} is finished; nothing is left to do")
    summary = read_json(folder / SUMMARY)
    if options.register:
        tracker = _tracker(folder, begin(None, storage))
        register(tracker, folder, summary, options.register)
        tracker.close()
    else:
        try:
            replay(folder)
        except PalenkaError as error:
            logger.info(str(error))
    _hand_over(folder, options)
    return SearchResult(folder, summary)


def _resume_if_begun(options: SearchOptions) -> SearchOptions:
    """With `resume` if there is a search of that name; what holds for --resume and for a new one is checked later."""
    if options.name is None:
        raise UserError("--resume-or-start needs the --name of the search that it starts or resumes")
    folder = working_folder(options.storage) / check_name(options.name)
    return dataclasses.replace(options, resume=options.resume or run_folder.begun(folder), resume_or_start=False)


def _folder(config: SearchConfig | None, options: SearchOptions, storage: Path) -> Path:
    """The run's folder; raises `UserError` if it exists and must not, or must exist and does not."""
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


def _tracked(config: SearchConfig, options: SearchOptions, context: Context, study: optuna.Study) -> None:
    """The search; however it ends, its run in MLflow ends in the right state."""
    patience = 60.0
    try:
        with storage_errors():
            if study.user_attrs.get(PLACE) != options.place:
                study.set_user_attr(PLACE, options.place)  # for a status view of the search
            summary = run_stages(config, options, context, study)
            if options.register:
                register(context.tracker, context.folder, summary, options.register)
    except KeyboardInterrupt as error:
        context.tracker.end_run(PARENT, "KILLED")
        patience = 5.0
        again = resume_command(context.folder.name, options.storage, options.place)
        raise interrupted(error, f"go on with: {again}") from None
    except BaseException:
        context.tracker.end_run(PARENT, "FAILED")
        raise
    finally:
        context.tracker.close(patience)
