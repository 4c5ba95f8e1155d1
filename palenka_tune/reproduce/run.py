"""The poster's rows, trained and scored end to end, with what was published beside what was measured.

In: a scale, a method, a corpus, suites of minimal pairs. Out: a run folder with the distilled students in `rows/`, the
results in `results.json` and a page, `report.html`. Tokenizer, token store, teachers and caches are artifacts in the
storage folder, made once whatever rows share them. The same command goes on where it was stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from palenka_tune.cache.plan import need_of
from palenka_tune.cluster.session import Resources, ray_session
from palenka_tune.cluster.stop import Interrupted
from palenka_tune.config.artifacts import MANIFEST
from palenka_tune.config.files import check_writable, read_json, write_json
from palenka_tune.data import prepare as data
from palenka_tune.data.prepare import PreparedData
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suites import SuiteChoice, filter_choices
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import get_scale as model_scale
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.recipes import ReproduceScale, Row, chosen_rows, get_scale, preset_name
from palenka_tune.reproduce.settings import ReproduceConfig
from palenka_tune.reproduce.systems import experiment_of, own_spec, plain_trainings, teacher_specs
from palenka_tune.runs import run_folder
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.poster_method import method_settings, units
from palenka_tune.students.bench import BenchSpec
from palenka_tune.students.jobs import STUDENT, StudentJob, train_students
from palenka_tune.students.scoring import ScoreJob, own_pairs, score_models
from palenka_tune.students.teacher_cache import obtain_cache_if_it_fits
from palenka_tune.teachers.ray_trainer import train_teachers
from palenka_tune.teachers.spec import Teacher, TeacherSpec, open_teacher, teacher_folder

RESULTS, ROWS_FOLDER, IDENTITY = "results.json", "rows", run_folder.REPRODUCE
Log = Callable[[str], None]


@dataclass(frozen=True)
class _Place:
    """What every step needs."""

    config: ReproduceConfig
    scale: ReproduceScale
    prepared: PreparedData
    storage: Path
    folder: Path
    resources: Resources
    log: Log

    @property
    def device(self) -> str:
        return "cuda" if self.resources.gpus else "cpu"

    @property
    def dev_windows(self) -> int | None:
        """Dev windows that choose a teacher's best epoch, as everywhere at this scale: teachers are shared."""
        return model_scale(self.scale.name).dev_windows

    @property
    def suites(self) -> tuple[SuiteChoice, ...]:
        """What is scored on: what was given, filtered by the words of train as the challenge does, else the pairs that
        come with the corpus."""
        return filter_choices(self.config.suites, self.prepared.corpus) or own_pairs(self.prepared)

    @property
    def shares(self) -> dict[str, Any]:
        """How students and scorings share the machine: one per GPU, or all cores of the smallest node."""
        if self.resources.gpus:
            concurrent = min(self.config.concurrent or self.resources.gpus, self.resources.gpus)
            return {"concurrent": concurrent, "cpus": 1, "gpus": 1.0}
        nodes = [cpus for cpus, _ in self.resources.nodes if cpus]
        concurrent = min(self.config.concurrent or sum(nodes), sum(nodes))
        return {"concurrent": concurrent, "cpus": max(1, min(nodes) // -(-concurrent // len(nodes))), "gpus": 0.0}

    def artifact(self, spec: TeacherSpec) -> Path:
        return teacher_folder(self.storage, spec, self.prepared.fingerprint, self.dev_windows)


def main(config: ReproduceConfig, log: Log = print) -> dict[str, Any]:
    """Run what is left of the rows; returns what `results.json` holds.

    Raises `UserError` for input that cannot work, before Ray starts, and `PalenkaError` if a row cannot be trained.
    """
    scale, rows = get_scale(config.scale), chosen_rows(config.rows)
    method_settings(config.method)
    settings = data.DataSettings(config.source, scale.vocabulary, scale.window)
    data.check(settings)
    for choice in config.suites:
        choice.read()
    storage = check_writable(config.storage)
    folder = storage / config.run_name
    if (folder / run_folder.SEARCH_YAML).exists():
        raise UserError(f"--name {folder.name} is a search in {storage}; give another name")
    folder.mkdir(exist_ok=True)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(run_folder.locked(folder))
        prepared = data.prepare(settings, storage, log=log)
        log(prepared.describe())
        _check_identity(folder, config, prepared)
        resources = stack.enter_context(ray_session(config.address))
        place = _Place(config, scale, prepared, storage, folder, resources, log)
        try:
            results = _rows(place, rows)
        except KeyboardInterrupt as error:
            if isinstance(error, Interrupted):
                error.hint = "the same command goes on where it was"
            else:  # what Ray makes of it
                log("stopped: the same command goes on where it was")
            raise
        results["wall_seconds"] = round(time.monotonic() - started, 1)
        results["identity"] = read_json(folder / IDENTITY)
        write_json(folder / RESULTS, results)
    return results


def _check_identity(folder: Path, config: ReproduceConfig, prepared: PreparedData) -> None:
    """Refuse to go on in a folder of other settings; `rows` may differ, since a row stands alone."""
    identity = {
        "scale": config.scale,
        "method": config.method,
        "seed": config.seed,
        "data": prepared.fingerprint,
        "source": prepared.name,
    }
    path = folder / IDENTITY
    if not path.exists():
        write_json(path, identity)
        return
    known = read_json(path)
    for key, value in identity.items():
        if known.get(key) != value:
            raise UserError(
                f"--name {folder.name} holds rows of {key} {known.get(key)!r}, and this is {value!r}; give another "
                "--name, or delete that folder"
            )


def _rows(place: _Place, rows: Sequence[Row]) -> dict[str, Any]:
    """Train and score; returns the results without the time they took."""
    config, scale, log = place.config, place.scale, place.log
    specs = plain_trainings(rows, scale, config.seed)
    for row in rows:
        if row.kind != "baseline":
            reduction = str(method_settings(config.method)["distill.kl_reduction"])
            log(f"{row.name}: {units(row.alpha, reduction, scale.window)}")
    train_teachers(
        specs,
        place.prepared,
        place.storage,
        use_gpu=place.resources.gpus > 0,
        dev_windows=place.dev_windows,
        log=log,
    )
    distilled = [row for row in rows if row.kind != "baseline"]
    caches = _caches(place, distilled)
    jobs = [_student_job(place, row, caches[row.teachers]) for row in distilled]
    trained = {
        job.name: result for job, result in zip(jobs, train_students(jobs, log=log, **place.shares), strict=True)
    }
    models = {row.name: _model(place, row, trained) for row in rows}
    scores = _score(place, models)
    return {
        "scale": config.scale,
        "method": config.method,
        "seed": config.seed,
        "data": place.prepared.describe(),
        "suites": [asdict(suite) for suite in place.suites],
        "rows": [_result(place, row, models[row.name], scores[row.name]) for row in rows],
        "artifacts": {
            "plain trainings": sorted(place.artifact(spec).name for spec in specs),
            "teacher caches": sorted({Path(path).name for path in caches.values() if path is not None}),
        },
    }


def _caches(place: _Place, rows: Sequence[Row]) -> dict[tuple[str, ...], str | None]:
    """Per set of teachers the folder of a cache that serves all its rows; None where they run on every batch."""
    found: dict[tuple[str, ...], str | None] = {}
    for row in rows:
        if row.teachers in found:
            continue
        together = [_experiment(place, other) for other in rows if other.teachers == row.teachers]
        teachers = _teachers(place, row)
        losses = [experiment.distill for experiment in together]
        need = need_of(losses, together[0].student_shape, tuple(teacher.shape for teacher in teachers))
        found[row.teachers] = obtain_cache_if_it_fits(
            together[0],
            need,
            teachers,
            place.prepared.store,
            place.storage,
            lambda: place.resources,
            place.log,
        )
    return found


def _experiment(place: _Place, row: Row) -> Experiment:
    return experiment_of(row, place.scale, place.config.method, place.config.source, place.config.seed)


def _teachers(place: _Place, row: Row) -> list[Teacher]:
    return [open_teacher(place.artifact(spec)) for spec in teacher_specs(row, place.scale, place.config.seed)]


def _student_job(place: _Place, row: Row, cache: str | None) -> StudentJob:
    experiment, teachers = _experiment(place, row), _teachers(place, row)
    return StudentJob(
        name=row.name,
        folder=str(place.folder / ROWS_FOLDER / row.name),
        bench=BenchSpec(
            store=str(place.prepared.store.folder),
            student=experiment.student,
            teachers=tuple(str(teacher.folder) for teacher in teachers),
            device=place.device,
            cache=cache,
        ),
        distill=experiment.distill,
        recipe=experiment.recipe,
        seed=place.config.seed,
        tokenizer_dir=str(place.prepared.tokenizer_dir),
        data=place.prepared.fingerprint,
        data_line=place.prepared.describe(),
        teachers=tuple((teacher.name, teacher.fingerprint) for teacher in teachers),
    )


@dataclass(frozen=True)
class _Model:
    """A row's trained model: its folder, the digest of its weights, where its scores go, what its training took."""

    folder: str
    digest: str
    scores: str
    tokens: int
    seconds: float


def _model(place: _Place, row: Row, trained: dict[str, dict[str, Any]]) -> _Model | str:
    """The model of a row, or why there is none."""
    own = place.folder / ROWS_FOLDER / row.name
    if row.kind == "baseline":
        teacher = open_teacher(place.artifact(own_spec(row, place.scale, place.config.seed)))
        weights = read_json(teacher.folder / MANIFEST)["files"]["model.safetensors"]["sha256"]
        return _Model(str(teacher.folder), weights, str(own), teacher.tokens, teacher.seconds)
    result = trained[row.name]
    if "failed" in result or "diverged" in result:
        return str(result.get("failed") or f"diverged: {result['diverged']}")
    return _Model(str(own / STUDENT), result["weights_sha256"], str(own), result["tokens"], result["seconds"])


def _score(place: _Place, models: dict[str, _Model | str]) -> dict[str, dict[str, Any]]:
    """Scores of all models; those that could not be trained have `failed`."""
    jobs = [
        ScoreJob(
            name=name,
            folder=model.scores,
            model=model.folder,
            suites=place.suites,
            digest=model.digest,
            corpus=str(place.prepared.corpus),
            data=place.prepared.fingerprint,
            window=place.scale.window,
            device=place.device,
        )
        for name, model in models.items()
        if isinstance(model, _Model)
    ]
    names = ["dev", "test", *(suite.label or suite.name for suite in place.suites)]
    place.log(f"scoring {len(jobs)} models on {', '.join(names)}")
    scored = {result["name"]: result for result in score_models(jobs, log=place.log, **place.shares)}
    return {name: {"failed": model} if isinstance(model, str) else scored[name] for name, model in models.items()}


def _result(place: _Place, row: Row, model: _Model | str, scores: dict[str, Any]) -> dict[str, Any]:
    """A row of `results.json`."""
    preset = get_preset(preset_name(row.preset, place.scale))
    store = place.prepared.store
    result = {
        "name": row.name,
        "kind": row.kind,
        "preset": preset.name,
        "architecture": preset.architecture,
        "parameters": parameter_count(preset, store.vocabulary_size, store.window),
        "teachers": list(row.teachers),
        "weights": {"ce": row.ce_weight, "alpha": row.alpha, "beta": row.beta, "temperature": row.temperature},
        "published": asdict(row.published),
    }
    if isinstance(model, str) or "failed" in scores:
        return result | {"failed": model if isinstance(model, str) else scores["failed"]}
    return result | {
        "folder": model.folder,
        "weights_sha256": model.digest,
        "tokens": model.tokens,
        "seconds": model.seconds,
        "text": scores["text"],
        "suites": scores["suites"],
    }
