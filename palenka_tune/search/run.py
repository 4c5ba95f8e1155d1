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
from palenka_tune.search import finish, provenance, teaching, tuning
from palenka_tune.search.config import SearchConfig, check_name, check_space, grid_size
from palenka_tune.search.display import Display
from palenka_tune.search.ledger import ANCHORS, Ledger
from palenka_tune.search.mlflow_observer import PARENT, MlflowObserver
from palenka_tune.search.results import write_trials
from palenka_tune.search.student import Bench, BenchSpec
from palenka_tune.tracking.store import initialise, ui_command
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
    log(plan(config))
    prepared = data.prepare(config.experiment.data, storage, log=log)
    log(prepared.describe())
    given = teaching.open_given(config.experiment, prepared)
    if given and len(given) == len(config.experiment.teachers):
        check_space(config, config.space_name, tuple(teacher.shape for teacher in given))
    suite = Path(options.minimal_pairs) if options.minimal_pairs else prepared.minimal_pairs
    folder.mkdir()
    write_text(folder / "search.yaml", search_yaml(config, prepared.fingerprint))
    tracker = _tracker(folder, storage)
    try:
        return _run(config, options, folder, storage, prepared, suite, tracker, console, log, started)
    except BaseException:
        tracker.end_run(PARENT, "FAILED")
        raise
    finally:
        tracker.close(60.0)


def _run(
    config: SearchConfig,
    options: SearchOptions,
    folder: Path,
    storage: Path,
    prepared: data.PreparedData,
    suite: Path | None,
    tracker: Tracker,
    console: Console,
    log: Callable[[str], None],
    started: float,
) -> SearchResult:
    experiment = config.experiment
    tags = {"palenka.run": folder.name, "palenka.git_commit": provenance.git_commit() or "unknown"}
    tags["palenka.data"] = prepared.fingerprint
    tracker.start_run(PARENT, name=folder.name, tags=tags, params=flat(config.tree()))
    tracker.log_artifact(PARENT, folder / "search.yaml")
    ledger = Ledger(
        folder / "optuna.journal",
        folder.name,
        space=config.space,
        sampler=config.search.sampler,
        samples=samples(config),
        seed=experiment.seed,
    )
    with ray_session(options.address) as resources:
        placement = tuning.place(config, options, resources)
        runs = teaching.TeacherRuns(tracker, experiment, tags)
        teachers = teaching.obtain(experiment, prepared, storage, use_gpu=resources.gpus > 0, log=log, on_metrics=runs)
        runs.end()
        spec = BenchSpec(
            store=str(prepared.store.folder),
            student=experiment.student,
            teachers=tuple(str(teacher.folder) for teacher in teachers),
            device=placement.device,
        )
        bench = Bench(spec)
        total_steps = bench.total_steps(experiment.recipe)
        display = Display(
            trials=samples(config) + len(ANCHORS), total_steps=total_steps, quiet=options.quiet, console=console
        )
        job = tuning.Job(config, spec, folder, placement, total_steps, prepared.store.vocabulary_size)
        tags["palenka.teachers"] = " ".join(teacher.fingerprint for teacher in teachers)
        observer = MlflowObserver(tracker, lambda proposal: flat(job.settings(proposal)), tags)
        log(f"{samples(config)} trials and {len(ANCHORS)} anchors of {total_steps} steps, {placement.describe()}")
        with display:
            tuning.run(job, ledger, [display, observer])
    rows = job.rows(ledger)
    write_trials(folder / "trials.parquet", rows, config.space)
    summary = finish.report(
        job, bench, rows, teachers, prepared, suite, tracker=tracker, console=console, log=log, started=started
    )
    log(f"run folder: {folder}")
    log(f"compare the trials: {ui_command(*_mlflow_place(storage), tracker.experiment_id)}")
    return SearchResult(folder, summary)


def _mlflow_place(storage: Path) -> tuple[str, Path]:
    uri, _ = initialise(None, storage)
    return uri, storage


def _tracker(folder: Path, storage: Path) -> Tracker:
    uri, artifacts = initialise(None, storage)
    return Tracker(folder, tracking_uri=uri, experiment=EXPERIMENT, artifact_location=artifacts)


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
