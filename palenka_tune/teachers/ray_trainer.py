"""Trains missing teachers with Ray Train: a `TorchTrainer` each, DDP over its workers, several at once on CPUs.

The caller opens the Ray session; the trained teachers are artifacts. The workers keep their checkpoints in a working
folder beside the artifact (on a cluster: shared storage). Ray Train restarts them from there when one dies, and so does
the next command, if this one is stopped.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from palenka_tune.cluster import compute
from palenka_tune.cluster.session import Resources, resources_now
from palenka_tune.cluster.tasks import in_turns
from palenka_tune.config.artifacts import build_once, is_complete, lock_file
from palenka_tune.config.console import keep_printing
from palenka_tune.config.files import read_json
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import PreparedData
from palenka_tune.errors import PalenkaError, UserError, first_line
from palenka_tune.storage import file_lock, mirror
from palenka_tune.teachers.progress import ProgressFollower
from palenka_tune.teachers.spec import TEACHER_VERSION, OnMetrics, Teacher, TeacherSpec, open_teacher, teacher_folder
from palenka_tune.teachers.worker import EXPORT, FAILED, LAST, RESULT, TeacherJob
from palenka_tune.words import plural

logger = logging.getLogger(__name__)
MAX_FAILURES = 2
MAX_CPU_WORKERS = 4
"""Beyond this, more cores go to the threads of each worker: small models gain little from more processes."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """How missing teachers share the cluster: how many train at once, with how many workers of how many cores each."""

    at_once: int
    workers: int
    cpus_per_worker: int


def plan(recipes: Sequence[Recipe], cpus: int, gpus: int, workers: int | None, use_gpu: bool) -> Plan:
    """Share `cpus` cores, or `gpus` GPUs if `use_gpu`, among the teachers that these recipes train.

    On GPUs one teacher at a time has all of them; on CPUs as many teachers as possible train at once, since separate
    processes lose nothing to communication. `workers` fixes the number for each teacher. There are never more workers
    than windows in a micro-batch. Raises `UserError` if `workers` is none or too many.
    """
    devices, unit = (gpus, "GPUs") if use_gpu else (cpus, "CPU cores")
    windows = min(recipe.batch_size // recipe.accumulate for recipe in recipes)
    if workers is not None:
        if workers < 1:
            raise UserError(f"--workers is {workers}; it must be 1 or more")
        if workers > devices:
            raise UserError(f"--workers is {workers}, but there are {devices} {unit}; give {devices} or less")
        if workers > windows:
            raise UserError(
                f"--workers is {workers}, but a micro-batch (batch_size over accumulate) has "
                f"{plural(windows, 'window')}; give {windows} or less"
            )
    if use_gpu:
        count = workers or min(max(1, gpus), windows)
        at_once = max(1, min(len(recipes), gpus // count))
        return Plan(at_once, count, max(1, cpus // (at_once * count)))
    at_once = max(1, min(len(recipes), cpus // (workers or 1)))
    share = max(1, cpus // at_once)
    count = workers or min(share, MAX_CPU_WORKERS, windows)
    return Plan(at_once, count, max(1, share // count))


def fitted(shared: Plan, resources: Resources, use_gpu: bool) -> Plan:
    """The plan with no more cores for a worker than let all of them find a node: a worker lies on one of them, and of
    three nodes of 5 cores none has 6."""
    for cores in range(shared.cpus_per_worker, 1, -1):
        places = sum(min(cpus // cores, gpus) if use_gpu else cpus // cores for cpus, gpus in resources.nodes)
        if places >= shared.at_once * shared.workers:
            return replace(shared, cpus_per_worker=cores)
    return replace(shared, cpus_per_worker=1)


def train_teachers(
    specs: Sequence[TeacherSpec],
    data: PreparedData,
    storage: Path,
    *,
    workers: int | None = None,
    use_gpu: bool = False,
    dev_windows: int | None = None,
    on_metrics: OnMetrics | None = None,
) -> list[Teacher]:
    """The teachers of `specs`, in their order; those that are not in `storage` are trained in the open Ray session.

    Raises:
        UserError: if `workers` does not fit the cluster or a recipe.
        PalenkaError: if a teacher cannot be trained; what was reached is kept, and the same call continues from there.
    """
    folders = [teacher_folder(storage, spec, data.fingerprint, dev_windows) for spec in specs]
    missing = {folder: spec for folder, spec in zip(folders, specs, strict=True) if not is_complete(folder)}
    if missing:
        resources = resources_now()
        recipes = [spec.recipe for spec in missing.values()]
        shared = fitted(plan(recipes, resources.cpus, resources.gpus, workers, use_gpu), resources, use_gpu)
        trainings = [
            Training(folder, _job(folder, spec, data, dev_windows), data.fingerprint, shared, use_gpu)
            for folder, spec in missing.items()
        ]
        _run_all(trainings, shared.at_once, on_metrics)
    return [open_teacher(folder) for folder in folders]


def _job(folder: Path, spec: TeacherSpec, data: PreparedData, dev_windows: int | None) -> TeacherJob:
    """The job of the teacher that goes to `folder`; its working folder is made."""
    work = folder.parent / f".{folder.name}.work"
    work.mkdir(parents=True, exist_ok=True)
    return TeacherJob(spec, data.store.folder, data.tokenizer_dir, work, data.describe(), dev_windows)


@dataclass(frozen=True)
class Training:
    """One missing teacher, as plain data: `run` may be called in any process that sees the folders."""

    folder: Path
    job: TeacherJob
    data_fingerprint: str
    shared: Plan
    use_gpu: bool

    @property
    def name(self) -> str:
        return self.job.spec.preset.name

    @property
    def work(self) -> Path:
        return self.job.work

    def run(self) -> None:
        """Build the artifact; a process that builds the same one meanwhile is waited for."""
        build_once(self.folder, self._build)
        mirror.forget_folder(self.work)

    def _build(self, temporary: Path) -> dict[str, Any]:
        mirror.forget(self.work / FAILED)  # of an earlier command: the machine may be another one now
        self.fit()
        mirror.fetch(self.work / RESULT)
        mirror.fetch_folder(self.work / EXPORT)
        for path in (self.work / EXPORT).iterdir():
            path.replace(temporary / path.name)
        return {
            "kind": "teacher",
            "version": TEACHER_VERSION,
            "fingerprint": self.folder.name.rsplit("-", 1)[-1],
            **asdict(self.job.spec),
            "data": self.data_fingerprint,
            "dev_windows": self.job.dev_windows,
            **read_json(self.work / RESULT),
        }

    def fit(self) -> None:
        """Run Ray Train until the working folder holds the result; raises `PalenkaError` if it gives up."""
        # Ray Train polls its workers every 2 s, too slow for a teacher of a minute, and exports metrics that go unread
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
        from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer

        from palenka_tune.teachers.ray_network import ClusterTorchConfig

        # Ray Train would restore its own record of an earlier run; the checkpoints beside it are the ones that count
        mirror.forget_folder(self.work / "ray")
        remote = mirror.remote_of(self.work)
        resources = {"CPU": self.shared.cpus_per_worker} | ({"GPU": 1} if self.use_gpu else {})
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"job": self.job, "threads": self.shared.cpus_per_worker},
            torch_config=ClusterTorchConfig(),
            scaling_config=ScalingConfig(
                num_workers=self.shared.workers, use_gpu=self.use_gpu, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name="ray",
                storage_path=str(self.work) if remote is None else remote[0].path(remote[1]),
                storage_filesystem=None if remote is None else remote[0].filesystem,
                failure_config=FailureConfig(max_failures=MAX_FAILURES),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        )
        reason = ""
        try:
            trainer.fit()
        except TrainingFailedError as error:
            reason = _reason(error)
        if mirror.fetch(self.work / FAILED):
            raise PalenkaError(f"teacher {self.name}: {read_json(self.work / FAILED)['reason']}")
        if reason:
            raise self.fault(reason)

    def fault(self, reason: str) -> PalenkaError:
        """The error that says why there is no teacher, and where the next command continues."""
        start = "its last checkpoint" if mirror.exists(self.work / LAST) else "the start"
        return PalenkaError(
            f"teacher {self.name} could not be trained: {reason}; run the command again to continue from {start}"
        )


def _run_all(trainings: Sequence[Training], at_once: int, on_metrics: OnMetrics | None) -> None:
    """Run `at_once` trainings at a time, each in a Ray task that waits for its `fit()`, and follow their progress.

    Tasks rather than threads: on Ctrl-C or a fault they can be cancelled, and what they started dies with them.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(Training.run)
    followers = [ProgressFollower(t.folder.name, t.name, t.work, on_metrics) for t in trainings]

    def submit(training: Training) -> Any:
        if mirror.exists(training.work / LAST):
            logger.info(f"teacher {training.name}: continues from its last checkpoint")
        if (holder := file_lock.holder_of(lock_file(training.folder))) is not None:  # for which the task waits unseen
            logger.info(f"teacher {training.name}: waiting for {holder}")
        return task.remote(training)

    def look(running: Sequence[Training]) -> None:
        for follower in followers:
            follower.poll()

    with contextlib.closing(in_turns(submit, trainings, at_once, seconds=POLL_SECONDS, look=look)) as ended:
        for training, reference in ended:
            _check(reference, training)


def _check(reference: Any, training: Training) -> None:
    """Raise what a finished task raised, as a `PalenkaError`."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PalenkaError):
            raise error.cause from None
        raise training.fault(f"{type(error.cause).__name__}: {first_line(error.cause)}") from None
    except ray.exceptions.RayError as error:
        raise training.fault(f"Ray stopped ({first_line(error)})") from None


def _worker(config: dict[str, Any]) -> None:
    """Ray Train's entry on each worker: gives `run_rank` its rank, its device and its way to report."""
    import torch
    from ray import train
    from ray.train.torch import get_device

    from palenka_tune.distill.loop import World
    from palenka_tune.teachers.worker import run_rank

    keep_printing()
    device = get_device()
    if device.type == "cpu":
        compute.begin(config["threads"])
    context = train.get_context()
    world = World(context.get_world_rank(), context.get_world_size())
    try:
        run_rank(config["job"], device=device, world=world, report=train.report)
    except (PalenkaError, torch.OutOfMemoryError):
        # The reason is in failed.json. Only an error frees the ranks that wait for this one, but it costs a restart.
        if world.size > 1:
            raise


def _reason(error: BaseException) -> str:
    """One phrase on why Ray Train gave up: what the first worker raised, or that its process died."""
    from ray.exceptions import RayActorError

    failures = getattr(error, "worker_failures", None) or {}
    if not failures:
        return first_line(error)
    rank, cause = min(failures.items())
    for wrapped in ("_base_exc", "health_check_failure", "cause"):  # Ray Train wraps what a worker raised
        cause = getattr(cause, wrapped, None) or cause
    if isinstance(cause, RayActorError):
        return f"worker {rank} died {MAX_FAILURES + 1} times (killed, or the machine ran out of memory)"
    return f"worker {rank} failed {MAX_FAILURES + 1} times ({type(cause).__name__}: {first_line(cause)})"
