"""A whole search: data, teachers, trials, the best student and its scores.

`main(config, options)` is what `python -m palenka_tune.search` calls. Phases: check everything, prepare the data (no
Ray), open Ray once for teachers and trials, close it, then export, score and report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from palenka_tune.cluster.session import check_gpus, ray_session
from palenka_tune.config.files import check_writable, write_text
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import read_suite
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.search import caching, finish, provenance, teaching, tuning
from palenka_tune.search.config import SearchConfig, check_name, check_space, grid_size
from palenka_tune.search.display import Display
from palenka_tune.search.experiment import Experiment
from palenka_tune.search.finish import Place
from palenka_tune.search.ledger import ANCHORS, Ledger, anchor_values
from palenka_tune.search.mlflow_observer import PARENT, MlflowObserver
from palenka_tune.search.results import write_trials
from palenka_tune.search.student import Bench, BenchSpec
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.store import begin, ui_command
from palenka_tune.tracking.tracker import Tracker

EXPERIMENT = "palenka_tune"


@dataclass(frozen=True)
class SearchOptions:
    """Where and how a search runs; nothing here changes what a trial trains.

    `concurrent` and `gpus_per_trial` None: chosen from the cluster. `minimal_pairs` None: the corpus' own, if any.
    """

    name: str | None = None
    storage: str = "./palenka_runs"
    concurrent: int | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    minimal_pairs: str | None = None
    quiet: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class SearchResult:
    """The run's folder and what `summary.json` holds (empty after a dry run)."""

    folder: Path
    summary: dict[str, Any]


def main(config: SearchConfig, options: SearchOptions, console: Console | None = None) -> SearchResult:
    """Run a search to its end; raises `UserError` before any work for input that cannot work."""
    console = console or make_console()
    log: Callable[[str], None] = (
        (lambda line: None) if options.quiet else (lambda line: console.print(line, markup=False))
    )
    started = time.monotonic()
    name = check_name(options.name or default_name(config))
    if options.concurrent is not None and options.concurrent < 1:
        raise UserError(f"--concurrent is {options.concurrent}; it must be 1 or more")
    check_gpus(options.gpus_per_trial, options.address)
    data.check(config.experiment.data)
    if options.minimal_pairs:
        read_suite(options.minimal_pairs)
    storage = Path(options.storage).expanduser().absolute()
    folder = storage / name
    if folder.exists():
        raise UserError(f"--name {name} is in use ({folder} exists); give another name or delete that folder")
    if options.dry_run:
        console.print(plan(config), markup=False)
        return SearchResult(folder, {})
    check_writable(storage)
    store = begin(None, storage)
    log(plan(config))
    prepared = data.prepare(config.experiment.data, storage, log=log)
    log(prepared.describe())
    given = teaching.open_given(config.experiment, prepared)
    shapes = teaching.shapes(config.experiment, given)
    if given:
        check_space(config, config.space_name, shapes)
    config = caching.fit(config, shapes, prepared.store, storage, log)
    folder.mkdir()
    write_text(folder / "search.yaml", search_yaml(config, prepared.fingerprint))
    tracker = Tracker(
        folder,
        tracking_uri=store.uri,
        experiment=EXPERIMENT,
        artifact_location=store.artifacts,
        opening=store.opening,
    )
    suite = Path(options.minimal_pairs) if options.minimal_pairs else prepared.minimal_pairs
    place = Place(folder, storage, prepared, suite, tracker, console, log, started)
    try:
        summary = _run(config, options, place)
    except BaseException as error:
        tracker.end_run(PARENT, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        if isinstance(error, KeyboardInterrupt):
            log(f"interrupted; what was finished is in {folder}")
        raise
    finally:
        tracker.close(60.0)
    log(f"run folder: {folder}")
    log(f"compare the trials: {ui_command(store.uri, storage, tracker.experiment_id)}")
    return SearchResult(folder, summary)


def _run(config: SearchConfig, options: SearchOptions, place: Place) -> dict[str, Any]:
    experiment, tracker, folder = config.experiment, place.tracker, place.folder
    tags = {"palenka.run": folder.name, "palenka.git_commit": provenance.git_commit() or "unknown"}
    tags["palenka.data"] = place.prepared.fingerprint
    tracker.start_run(PARENT, name=folder.name, tags=tags, params=flat(config.tree()))
    tracker.log_artifact(PARENT, folder / "search.yaml")
    ledger = Ledger(
        folder / "optuna.journal",
        folder.name,
        space=config.space,
        sampler=config.search.sampler,
        samples=samples(config),
        seed=experiment.seed,
        anchors=anchor_values(experiment.distill.alpha),
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
        display = Display(trials=trials, total_steps=job.total_steps, quiet=options.quiet, console=place.console)
        place.log(
            f"{trials - len(ANCHORS)} trials and {len(ANCHORS)} anchors of {job.total_steps} steps, "
            f"{placement.describe()}"
        )
        try:
            with display:
                tuning.run(job, ledger, [display, observer])
        finally:
            observer.close()
            write_trials(folder / "trials.parquet", job.rows(ledger), config.space)
    return finish.report(job, bench, job.rows(ledger), teachers, place)


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


def samples(config: SearchConfig) -> int:
    """Trials that will be proposed: a grid has no more than its points."""
    if config.search.sampler == "grid":
        return min(config.search.samples, grid_size(config.space))
    return config.search.samples


def default_name(config: SearchConfig) -> str:
    """The space and the second in which the search began, such as `dskd-20260131-154501`."""
    return f"{config.space_name}-{time.strftime('%Y%m%d-%H%M%S')}"


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted path: value}, lists of plain values as they are."""
    items: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            items |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            items |= flat({str(number): entry for number, entry in enumerate(value)}, f"{prefix}{key}.")
        else:
            items[prefix + key] = value
    return items


def plan(config: SearchConfig) -> str:
    """What will be run, as a person would want to check it: models, data, space."""
    experiment = config.experiment
    vocabulary, window = experiment.data.vocabulary, experiment.data.window
    lines = [
        f"search {config.space_name}: {config.description}" if config.description else f"search {config.space_name}"
    ]
    lines.append(f"  data      {experiment.data.source}, vocabulary up to {vocabulary:,}, windows of {window} tokens")
    roles = [("student", experiment.student.preset, experiment.recipe)]
    roles += [("teacher", teacher.preset, teacher.recipe) for teacher in experiment.teachers if not teacher.is_folder]
    for role, name, recipe in roles:
        preset = get_preset(name)
        count = parameter_count(preset, vocabulary, window)
        lines.append(
            f"  {role:<9} {name}: {preset.architecture}; {count:,} parameters; lr {recipe.lr:g}, "
            f"batch {recipe.batch_size}, {recipe.epochs:g} epochs"
        )
    lines += [f"  teacher   {teacher.preset} (given)" for teacher in experiment.teachers if teacher.is_folder]
    kept = "run on every batch" if experiment.cache.form == "online" else f"run once, cache {experiment.cache.form}"
    lines.append(f"  teachers  {kept}")
    search = config.search
    stopping = (
        f"ASHA with {search.rungs} rungs, best 1/{search.reduction} go on" if search.rungs else "no early stopping"
    )
    lines.append(
        f"  search    {samples(config)} trials by {search.sampler} besides 2 anchors; {stopping}; "
        f"seed {experiment.seed}"
    )
    for parameter in config.space.parameters:
        values = (
            list(parameter.choices)
            if parameter.kind == "choice"
            else f"{parameter.kind} [{parameter.low:g}, {parameter.high:g}]"
        )
        when = "".join(f", if {name} in {list(allowed)}" for name, allowed in parameter.when.items())
        lines.append(f"    {parameter.name:<24} {values}{when}")
    return "\n".join(lines)


def search_yaml(config: SearchConfig, data_fingerprint: str) -> str:
    """The resolved configuration, from which the same search can be started, with its provenance as comments."""
    facts = {**provenance.versions(), "git commit": provenance.git_commit(), "data fingerprint": data_fingerprint}
    comments = "".join(f"# {name}: {value}\n" for name, value in facts.items() if value)
    return comments + yaml.safe_dump(config.tree(), sort_keys=False, allow_unicode=True)
