"""The chosen configurations trained again, on all windows and over several seeds: students in `finalists/`, a row each.

Seeds are paired: for one seed all configurations begin with the same weights and see the same batches.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.cache.plan import merged, need_of
from palenka_tune.cluster.session import Resources
from palenka_tune.errors import PalenkaError
from palenka_tune.models.origin import origin_of
from palenka_tune.runs.context import Context
from palenka_tune.runs.run_folder import FINALISTS
from palenka_tune.search.finalists.configurations import Configuration, run_key
from palenka_tune.search.mlflow.names import metric_names
from palenka_tune.search.tune.placement import Placement
from palenka_tune.spaces.experiment import StudentSettings, shape_of
from palenka_tune.spaces.settings import SearchConfig, TrialSettings
from palenka_tune.storage import mirror
from palenka_tune.students.bench import BenchSpec
from palenka_tune.students.jobs import StudentJob, train_students
from palenka_tune.students.teacher_cache import obtain_cache
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import PARENT
from palenka_tune.tracking.tracker import Status
from palenka_tune.trials.metrics import METRICS
from palenka_tune.trials.rows import FinalistRow

logger = logging.getLogger(__name__)


def all_windows(student: StudentSettings) -> StudentSettings:
    """The student's settings with all windows of train, on the dev windows of the trials."""
    return dataclasses.replace(student, train_fraction=1.0, train_windows=None)


def cache_for(
    config: SearchConfig,
    chosen: Sequence[Configuration],
    teachers: Sequence[Teacher],
    context: Context,
    resources: Resources,
) -> str | None:
    """The folder of a cache over all windows that serves all configurations; None: the teachers run on every batch."""
    experiment = dataclasses.replace(config.experiment, student=all_windows(config.experiment.student))
    settings = [config.settings_of(each.settings) for each in chosen]
    shapes = tuple(teacher.shape for teacher in teachers)
    need = merged([need_of([each.distill], shape_of(each.student.architecture), shapes) for each in settings])
    place = context.prepared.store, context.storage, lambda: resources
    cache = obtain_cache(experiment, need, teachers, *place, or_online=True)
    return None if cache is None else str(cache.folder)


def train_finalists(
    config: SearchConfig,
    chosen: Sequence[Configuration],
    teachers: Sequence[Teacher],
    cache: str | None,
    context: Context,
    placement: Placement,
) -> list[FinalistRow]:
    """Train every configuration with every seed in the open Ray session; returns a row per student.

    One that diverged has no values. Raises `PalenkaError` if one cannot be trained; the others are kept.
    """
    experiment, prepared = config.experiment, context.prepared
    bench = BenchSpec(
        store=str(prepared.store.folder),
        student=all_windows(experiment.student),
        teachers=tuple(str(teacher.folder) for teacher in teachers),
        device=placement.device,
        cache=cache,
    )
    settings = {each.trial_id: config.settings_of(each.settings) for each in chosen}
    origin = origin_of(prepared.name, [teacher.folder for teacher in teachers])
    jobs: dict[str, tuple[Configuration, StudentJob]] = {}
    # not the search's own seed, by which the best were chosen
    for seed in range(experiment.seed + 1, experiment.seed + 1 + config.search.seeds):
        for each in chosen:
            distill, recipe, student = settings[each.trial_id]
            name = f"{each.trial_id}-seed{seed}"
            job = StudentJob(
                name=name,
                folder=str(context.folder / FINALISTS / name),
                bench=dataclasses.replace(bench, student=all_windows(student)),
                distill=distill,
                recipe=recipe,
                seed=seed,
                tokenizer_dir=str(prepared.tokenizer_dir),
                data=prepared.fingerprint,
                data_line=prepared.describe(),
                teachers=tuple((teacher.name, teacher.fingerprint) for teacher in teachers),
                origin=origin,
            )
            jobs[name] = each, job
    logger.info(
        f"the best of each arm ({', '.join(f'{each.arm} {each.trial_id}' for each in chosen)}) again, with "
        f"{config.search.seeds} fresh seeds each, on all windows; "
        f"{placement.describe()}"
    )
    results = train_students(
        [job for _, job in jobs.values()],
        placement.share,
        on_result=lambda job, result: _log_run(context, job, jobs[job.name][0], result),
    )
    for result in results:
        if "failed" in result:
            raise PalenkaError(
                f"finalist {result['name']} could not be trained ({result['failed']}); the others are kept: go on "
                f"with --resume --name {context.folder.name}"
            )
    return [_row(context.folder, *jobs[result["name"]], result) for result in results]


def _row(folder: Path, each: Configuration, job: StudentJob, result: Mapping[str, Any]) -> FinalistRow:
    names = (*METRICS, "steps", "tokens", "seconds", "weights_sha256", "diverged")
    known = FinalistRow.__dataclass_fields__
    measured: dict[str, Any] = {name: result.get(name) for name in names if name in known}
    return FinalistRow(
        config=each.trial_id,
        arm=each.arm,
        seed=job.seed,
        alpha=job.distill.alpha,
        beta=job.distill.beta,
        folder=Path(job.folder).relative_to(folder).as_posix(),
        **measured,
    )


def _log_run(context: Context, job: StudentJob, each: Configuration, result: Mapping[str, Any]) -> None:
    """A run of its own in MLflow."""
    key, tracker = run_key(each.trial_id, job.seed), context.tracker
    tags = {"palenka.role": "finalist", "palenka.arm": each.arm, "palenka.configuration": each.trial_id}
    params = TrialSettings(job.distill, job.recipe, job.bench.student).flat()
    name, params = each.run_name(job.seed), {**params, "seed": job.seed}
    tracker.start_run(key, name=name, parent=PARENT, tags=tags, params=params, began=result.get("began"))
    if result.get("val_ce") is not None:
        tracker.log_metrics(key, metric_names({name: result.get(name) for name in METRICS}), step=result["tokens"])
    status: Status = "FAILED" if result.get("val_ce") is None else "FINISHED"
    tracker.end_run(key, status, ended=result.get("ended"))  # students of older versions do not say when


def forget_others(folder: Path, rows: Sequence[FinalistRow]) -> None:
    """Delete students of an earlier choice of finalists."""
    folders = {row.folder for row in rows}
    for path in (folder / FINALISTS).iterdir():
        if path.relative_to(folder).as_posix() not in folders:
            mirror.forget_folder(path)
