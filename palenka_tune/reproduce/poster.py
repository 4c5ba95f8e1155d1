"""`reproduce poster`: the rows trained and scored end to end, with what was published beside what was measured.

A run's folder holds the distilled students in `rows/` and the results in `results.json`. Tokenizer, token store,
teachers and caches are artifacts in the storage folder, made once and shared by the rows. The same command resumes a
run that was stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palenka_tune.cache.plan import need_of
from palenka_tune.cluster.session import Resources, ray_session
from palenka_tune.cluster.stop import interrupted
from palenka_tune.cluster.tasks import Share
from palenka_tune.config.artifacts import MANIFEST
from palenka_tune.config.files import check_writable, read_json, write_json
from palenka_tune.data import prepare as data
from palenka_tune.data.prepare import PreparedData
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suites import SuiteChoice, filter_choices
from palenka_tune.models.origin import origin_of
from palenka_tune.models.scales import get_scale as model_scale
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.experiments import ReproduceConfig
from palenka_tune.reproduce.rows import Row, chosen_rows
from palenka_tune.runs import run_folder
from palenka_tune.spaces.poster_method import method_settings, units
from palenka_tune.students.bench import BenchSpec
from palenka_tune.students.jobs import STUDENT, StudentJob, train_students
from palenka_tune.students.scoring import ScoreJob, check_suites, own_pairs, score_models
from palenka_tune.students.teacher_cache import obtain_cache
from palenka_tune.teachers.ray_trainer import train_teachers
from palenka_tune.teachers.spec import Teacher, TeacherSpec, open_teacher, teacher_folder
from palenka_tune.words import plural

logger = logging.getLogger(__name__)
RESULTS, ROWS_FOLDER, IDENTITY = "results.json", "rows", run_folder.REPRODUCE


@dataclass(frozen=True)
class _Run:
    """A run in an open Ray session: what every step needs, and the steps."""

    config: ReproduceConfig
    prepared: PreparedData
    storage: Path
    folder: Path
    resources: Resources

    @property
    def device(self) -> str:
        return "cuda" if self.resources.gpus else "cpu"

    @property
    def dev_windows(self) -> int | None:
        """Dev windows that choose a teacher's best epoch, as everywhere at this scale: teachers are shared."""
        return model_scale(self.config.scale).dev_windows

    @property
    def suites(self) -> tuple[SuiteChoice, ...]:
        return suites_of(self.config, self.prepared)

    @property
    def share(self) -> Share:
        """How students and scorings share the machine: one per GPU, or all cores of the smallest node."""
        nodes = [cpus for cpus, _ in self.resources.nodes if cpus]
        most = self.resources.gpus or sum(nodes)
        concurrent = min(self.config.concurrent or most, most)
        if self.resources.gpus:
            return Share(concurrent, 1, 1.0)
        return Share(concurrent, max(1, min(nodes) // -(-concurrent // len(nodes))))

    def row_folder(self, row: Row) -> Path:
        return self.folder / ROWS_FOLDER / row.name

    def artifact(self, spec: TeacherSpec) -> Path:
        return teacher_folder(self.storage, spec, self.prepared.fingerprint, self.dev_windows)

    def trained(self, row: Row) -> list[Teacher]:
        """A distilled row's teachers, or a baseline itself."""
        return [open_teacher(self.artifact(spec)) for spec in self.config.plain_trainings(row)]

    def results(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Train and score; returns the results without the time they took."""
        config = self.config
        specs = config.all_plain_trainings(rows)
        distilled = [row for row in rows if row.kind != "baseline"]
        for row in distilled:
            reduction = str(method_settings(config.chosen_method)["distill.kl_reduction"])
            logger.info(f"{row.name}: {units(row.alpha, reduction, config.at.window)}")
        use_gpu = self.resources.gpus > 0
        train_teachers(specs, self.prepared, self.storage, use_gpu=use_gpu, dev_windows=self.dev_windows)
        caches = {
            teachers: self._cache([row for row in distilled if row.teachers == teachers])
            for teachers in dict.fromkeys(row.teachers for row in distilled)
        }
        jobs = [self._student_job(row, caches[row.teachers]) for row in distilled]
        students = dict(zip([job.name for job in jobs], train_students(jobs, self.share), strict=True))
        models = {row.name: self._model(row, students.get(row.name)) for row in rows}
        scores = self._score(rows, models)
        return {
            "scale": config.scale,
            "method": config.chosen_method,
            "seed": config.seed,
            "data": self.prepared.describe(),
            "suites": [asdict(suite) for suite in self.suites],
            "rows": [self._result(row, models[row.name], scores.get(row.name, {})) for row in rows],
            "artifacts": {
                "plain trainings": sorted(self.artifact(spec).name for spec in specs),
                "teacher caches": sorted({Path(path).name for path in caches.values() if path is not None}),
            },
        }

    def _cache(self, rows: Sequence[Row]) -> str | None:
        """The folder of a cache that serves all `rows`, which have the same teachers; None if the teachers run on every
        batch instead."""
        experiments, teachers = [self.config.experiment(row) for row in rows], self.trained(rows[0])
        first, losses = experiments[0], [experiment.distill for experiment in experiments]
        need = need_of(losses, first.student_shape, tuple(teacher.shape for teacher in teachers))
        place = self.prepared.store, self.storage, lambda: self.resources
        cache = obtain_cache(first, need, teachers, *place, or_online=True)
        return None if cache is None else str(cache.folder)

    def _student_job(self, row: Row, cache: str | None) -> StudentJob:
        experiment, teachers, prepared = self.config.experiment(row), self.trained(row), self.prepared
        folders = tuple(str(teacher.folder) for teacher in teachers)
        return StudentJob(
            name=row.name,
            folder=str(self.row_folder(row)),
            bench=BenchSpec(str(prepared.store.folder), experiment.student, folders, self.device, cache),
            distill=experiment.distill,
            recipe=experiment.recipe,
            seed=experiment.seed,
            tokenizer_dir=str(prepared.tokenizer_dir),
            data=prepared.fingerprint,
            data_line=prepared.describe(),
            teachers=tuple((teacher.name, teacher.fingerprint) for teacher in teachers),
            origin=origin_of(prepared.name, [teacher.folder for teacher in teachers]),
        )

    def _model(self, row: Row, student: dict[str, Any] | None) -> dict[str, Any]:
        """A row's trained model as `results.json` has it, or why it has `failed`; `student` is what its distillation
        returned (None: a baseline)."""
        if student is None:
            (model,) = self.trained(row)
            digest = read_json(model.folder / MANIFEST)["files"]["model.safetensors"]["sha256"]
            figures = {"weights_sha256": digest, "tokens": model.tokens, "seconds": model.seconds}
            return {"folder": str(model.folder), **figures}
        if "failed" in student or "diverged" in student:
            return {"failed": str(student.get("failed") or f"diverged: {student['diverged']}")}
        figures = {name: student[name] for name in ("weights_sha256", "tokens", "seconds")}
        return {"folder": str(self.row_folder(row) / STUDENT), **figures}

    def _score(self, rows: Sequence[Row], models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """{row: scores} of the models that were trained; those that could not be scored have `failed`."""
        jobs = [
            ScoreJob(
                name=row.name,
                folder=str(self.row_folder(row)),
                model=models[row.name]["folder"],
                suites=self.suites,
                digest=models[row.name]["weights_sha256"],
                corpus=str(self.prepared.corpus),
                data=self.prepared.fingerprint,
                window=self.config.at.window,
                device=self.device,
            )
            for row in rows
            if "failed" not in models[row.name]
        ]
        names = ["dev", "test", *(suite.label or suite.name for suite in self.suites)]
        logger.info(f"scoring {plural(len(jobs), 'model')} on {', '.join(names)}")
        return {scores["name"]: scores for scores in score_models(jobs, self.share)}

    def _result(self, row: Row, model: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
        """A row of `results.json`."""
        preset, store = self.config.at.preset(row.preset), self.prepared.store
        outcome = model | {name: scores[name] for name in ("text", "suites") if name in scores}
        return {
            "name": row.name,
            "kind": row.kind,
            "preset": preset.name,
            "architecture": preset.architecture,
            "parameters": parameter_count(preset, store.vocabulary_size, store.window),
            "teachers": list(row.teachers),
            "weights": {"ce": row.ce_weight, "alpha": row.alpha, "beta": row.beta, "temperature": row.temperature},
            "published": asdict(row.published),
            **({"failed": scores["failed"]} if "failed" in scores else outcome),
        }


def suites_of(config: ReproduceConfig, prepared: PreparedData) -> tuple[SuiteChoice, ...]:
    """What is scored on: what was given, filtered by the words of train as the challenge does, else the pairs that come
    with the corpus."""
    return filter_choices(config.suites, prepared.corpus) or own_pairs(prepared)


def run(config: ReproduceConfig) -> dict[str, Any]:
    """Run what is left of the rows; returns what `results.json` holds.

    Raises `UserError` for input that cannot work, before Ray starts, and `PalenkaError` if a row cannot be trained.
    """
    rows = chosen_rows(config.rows)
    method_settings(config.chosen_method)
    data.check(config.data_settings)
    for choice in config.suites:
        choice.read()
    storage = check_writable(config.storage)
    folder = storage / config.run_name
    if (folder / run_folder.SEARCH_YAML).exists():
        raise UserError(f"--name {folder.name} is a search in {storage}; give another name")
    folder.mkdir(exist_ok=True)
    started = time.monotonic()
    with run_folder.locked(folder):
        prepared = data.prepare(config.data_settings, storage)
        logger.info(prepared.describe())
        identity = _check_identity(folder, config, prepared)
        presets = [config.at.preset(row.preset) for row in rows]
        check_suites(suites_of(config, prepared), prepared.tokenizer_dir, presets, config.at.window)
        with ray_session(config.address) as resources:
            try:
                results = _Run(config, prepared, storage, folder, resources).results(rows)
            except KeyboardInterrupt as error:
                raise interrupted(error, "the same command goes on where it was") from None
            results |= {"wall_seconds": round(time.monotonic() - started, 1), "identity": identity}
            write_json(folder / RESULTS, results)
    return results


def _check_identity(folder: Path, config: ReproduceConfig, prepared: PreparedData) -> dict[str, Any]:
    """Refuse to resume in a folder of other settings; `rows` may differ, since a row stands alone."""
    path = folder / IDENTITY
    identity = {
        "scale": config.scale,
        "method": config.chosen_method,
        "seed": config.seed,
        "data": prepared.fingerprint,
        "source": prepared.name,
    }
    if not path.exists():
        write_json(path, identity)
    before: dict[str, Any] = read_json(path)
    for key, value in identity.items():
        if before.get(key) != value:
            raise UserError(
                f"--name {folder.name} holds rows of {key} {before.get(key)!r}, and this is {value!r}; give another "
                "--name, or delete that folder"
            )
    return before
