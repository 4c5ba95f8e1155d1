"""After a search: its best configurations and both anchors trained again, on all windows and over several seeds.

In: the ledger's rows and the teachers. Out: the students in `finalists/` and a row for each, as `finalists.parquet`
keeps them. Seeds are paired: for one seed all configurations begin with the same weights and see the same batches.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from palenka_tune.cache.plan import need_of
from palenka_tune.cluster.session import Resources
from palenka_tune.config.build import flat
from palenka_tune.config.files import atomic_path
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.errors import PalenkaError
from palenka_tune.runs.context import Place
from palenka_tune.search.tune.placement import Placement
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.storage import mirror
from palenka_tune.students.bench import BenchSpec
from palenka_tune.students.jobs import StudentJob, train_students
from palenka_tune.students.teacher_cache import obtain_cache_if_it_fits
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import PARENT
from palenka_tune.trials.arms import anchor_values
from palenka_tune.trials.names import student_name
from palenka_tune.trials.rows import best_first
from palenka_tune.trials.verdict import WITHOUT

FOLDER, TABLE = "finalists", "finalists.parquet"
TERMS = ("val_ce", "val_ppl", "val_kl", "val_hidden", "val_total")


@dataclass(frozen=True)
class Configuration:
    """What is trained over seeds: a trial of the search, an anchor, or a trial without its hidden states."""

    name: str
    role: str
    values: Mapping[str, Any]

    def run_name(self, seed: int) -> str:
        """The name in MLflow of the run with that seed."""
        return student_name(self.role, self.name, self.values, seed)


def run_key(config: str, seed: int) -> str:
    """Our key of the MLflow run of a configuration with a seed."""
    return f"finalist-{config}-seed{seed}"


def configurations(config: SearchConfig, rows: Sequence[Mapping[str, Any]]) -> list[Configuration]:
    """Both anchors, the best proposed trials by val/ce, and the best one's settings with beta = 0, which tell what its
    hidden states did; nobody if no proposed trial was trained to its end."""
    trials = [row for row in best_first(rows) if not row["anchor"]][: config.search.finalists]
    if not trials:
        return []
    anchors = anchor_values(config.experiment.distill.alpha)
    chosen = [Configuration(name, "anchor", values) for name, values in anchors.items()]
    chosen += [Configuration(row["trial_id"], "finalist", row["values"]) for row in trials]
    best = trials[0]
    without = {**best["values"], "beta": 0.0}
    if config.settings_of(best["values"])[0].beta and _plain(config, without) != _plain(config, anchors["vanilla_kd"]):
        chosen.append(Configuration(best["trial_id"] + WITHOUT, "ablation", without))
    return chosen


def _plain(config: SearchConfig, values: Mapping[str, Any]) -> tuple[DistillSettings, Recipe]:
    """Settings without what means nothing at beta = 0."""
    distill, recipe = config.settings_of(values)
    idle = DistillSettings()
    return (
        dataclasses.replace(
            distill,
            projection=idle.projection,
            beta_schedule=idle.beta_schedule,
            hidden_gradient=idle.hidden_gradient,
        ),
        recipe,
    )


def whole(student: StudentSettings) -> StudentSettings:
    """The student's settings with all windows of train and dev."""
    return dataclasses.replace(student, train_fraction=1.0, train_windows=None, dev_windows=None)


def cache_for(
    config: SearchConfig,
    chosen: Sequence[Configuration],
    teachers: Sequence[Teacher],
    place: Place,
    resources: Resources,
) -> str | None:
    """The folder of a cache over all windows that serves all configurations; None: the teachers run on every batch."""
    experiment = dataclasses.replace(config.experiment, student=whole(config.experiment.student))
    losses = [config.settings_of(each.values)[0] for each in chosen]
    need = need_of(losses, experiment.student_shape, tuple(teacher.shape for teacher in teachers))
    return obtain_cache_if_it_fits(
        experiment, need, teachers, place.prepared.store, place.storage, lambda: resources, place.log
    )


def train(
    config: SearchConfig,
    chosen: Sequence[Configuration],
    teachers: Sequence[Teacher],
    cache: str | None,
    place: Place,
    placement: Placement,
) -> list[dict[str, Any]]:
    """Train every configuration with every seed in the open Ray session; returns a row per student.

    One that diverged has no values. Raises `PalenkaError` if one cannot be trained; the others are kept.
    """
    experiment = dataclasses.replace(config.experiment, student=whole(config.experiment.student))
    settings = {each.name: config.settings_of(each.values) for each in chosen}
    bench = BenchSpec(
        store=str(place.prepared.store.folder),
        student=experiment.student,
        teachers=tuple(str(teacher.folder) for teacher in teachers),
        device=placement.device,
        cache=cache,
    )
    jobs = [
        StudentJob(
            name=f"{each.name}-seed{seed}",
            folder=str(place.folder / FOLDER / f"{each.name}-seed{seed}"),
            bench=bench,
            distill=settings[each.name][0],
            recipe=settings[each.name][1],
            seed=seed,
            tokenizer_dir=str(place.prepared.tokenizer_dir),
            data=place.prepared.fingerprint,
            data_line=place.prepared.describe(),
            teachers=tuple((teacher.name, teacher.fingerprint) for teacher in teachers),
        )
        # not the search's own seed, by which the best were chosen
        for seed in range(experiment.seed + 1, experiment.seed + 1 + config.search.seeds)
        for each in chosen
    ]
    place.log(
        f"finalists: {len(chosen)} configurations with {config.search.seeds} seeds each, on all windows; "
        f"{placement.describe()}"
    )
    of_job = dict(zip((job.name for job in jobs), itertools.cycle(chosen)))
    results = train_students(
        jobs,
        concurrent=placement.concurrent,
        cpus=placement.cpus_per_trial,
        gpus=placement.gpus_per_trial,
        log=place.log,
        on_result=lambda job, result: _track(place, job, of_job[job.name], result),
    )
    for result in results:
        if "failed" in result:
            raise PalenkaError(
                f"finalist {result['name']} could not be trained ({result['failed']}); the others are kept: go on "
                f"with --resume --name {place.folder.name}, or with fewer --finalists"
            )
    return [
        {
            "config": of_job[job.name].name,
            "role": of_job[job.name].role,
            "seed": job.seed,
            "alpha": job.distill.alpha,
            "beta": job.distill.beta,
            **{name: result.get(name) for name in TERMS},
            **{name: result.get(name) for name in ("steps", "tokens", "seconds", "weights_sha256", "diverged")},
            "folder": Path(job.folder).relative_to(place.folder).as_posix(),
        }
        for job, result in zip(jobs, results, strict=True)
    ]


def _track(place: Place, job: StudentJob, each: Configuration, result: Mapping[str, Any]) -> None:
    """A run of its own in MLflow."""
    key = run_key(each.name, job.seed)
    tags = {"palenka.role": each.role, "palenka.configuration": each.name}
    if each.role == "finalist":
        tags["palenka.finalist"] = "true"
    params = {**flat(dataclasses.asdict(job.distill)), **flat({"recipe": dataclasses.asdict(job.recipe)})}
    place.tracker.start_run(
        key, name=each.run_name(job.seed), parent=PARENT, tags=tags, params={**params, "seed": job.seed}
    )
    if result.get("val_ce") is not None:
        measured = {name.replace("_", "/", 1): result.get(name) for name in TERMS}
        place.tracker.log_metrics(key, measured, step=result["tokens"])
    place.tracker.end_run(key, "FAILED" if result.get("val_ce") is None else "FINISHED")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `finalists.parquet`."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as temporary:
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), temporary)


def clean(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Delete students of an earlier choice of finalists."""
    kept = {str(row["folder"]) for row in rows}
    for path in (folder / FOLDER).iterdir():
        if path.relative_to(folder).as_posix() not in kept:
            mirror.forget_folder(path)
