"""Getting a cache: one that exists, or one that is built now.

`obtain` is given what the losses need and returns an open cache. It looks for one that holds at least that much of the
same teachers on the same windows; otherwise it says how large the new one will be, refuses if it does not fit, and
builds it shard by shard. A build that was stopped continues from the shards that are complete.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from palenka_tune.cache import ray_writer, writer
from palenka_tune.cache.faults import OUT_OF_MEMORY
from palenka_tune.cache.job import CACHE_VERSION, NOTES, CacheJob, base_of, caches_folder, folder_of, rows_per_shard
from palenka_tune.cache.plan import Need, Plan, answers, candidates, choose, gigabytes
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.store import TeacherCache, mark_checked
from palenka_tune.cache.writer import HEADS, STATISTICS
from palenka_tune.cluster.session import Resources
from palenka_tune.config.artifacts import MANIFEST, build_once, manifests, partial_folder
from palenka_tune.data.store import TokenStore
from palenka_tune.data.windows import Windows
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.storage.mirror import forget_folder, shown
from palenka_tune.teachers.spec import Teacher

logger = logging.getLogger(__name__)
FREE_SHARE = 0.8  # of what is free: the rest is left to checkpoints and to other programs


class _NotLinearError(Exception):
    """A teacher's logits are more than its head applied to its last hidden state."""


def obtain(
    need: Need,
    settings: CacheSettings,
    teachers: Sequence[Teacher],
    store: TokenStore,
    windows: Windows,
    storage: str | Path,
    resources: Callable[[], Resources],
    *,
    seed: int = 0,
) -> TeacherCache:
    """The cache for `need` over `windows`; `resources` opens the Ray session in which a missing one is built, or says
    that this process builds it.

    Raises:
        UserError: if it does not fit into the budget or the free space, or if the form cannot serve the need.
        PalenkaError: if the build stops (the disk is full, a worker failed); what is complete is kept.
    """
    base = base_of(store, teachers, windows, settings.precision)
    shapes = tuple(teacher.shape for teacher in teachers)
    tokens = windows.count * store.window
    linear = True
    while True:
        plans = candidates(need, settings, shapes, store.vocabulary_size, seed, linear=linear)
        # a loss needs all the components that it asks for; a search has given up ranks before
        plans = [plan for plan in plans if plan.need == need]
        plan = choose(plans, tokens, lambda plan: room(plan, settings, storage, base))
        existing = find(storage, base, plan)
        if existing is not None:
            cache = TeacherCache.open(existing)
            cache.check(teachers, store)
            logger.info(f"teacher cache {cache.folder.name}: {cache.describe()}")
            return cache
        try:
            return _build(plan, base, teachers, store, windows, storage, resources())
        except _NotLinearError:
            if settings.form != "auto":
                raise UserError(
                    f"cache.form is '{settings.form}', but a teacher scales or caps its logits after its output head, "
                    "so that hidden states do not give them; use cache.form=auto, sampled or dense"
                ) from None
            linear = False


def find(storage: str | Path, base: Mapping[str, Any], plan: Plan) -> Path | None:
    """A complete cache that serves everything that `plan` would."""
    for folder, manifest in manifests(caches_folder(storage)):
        ours = manifest.get("base") == base and manifest.get("version") == CACHE_VERSION
        if ours and answers(manifest["plan"], plan):
            return folder
    return None


def room(plan: Plan, settings: CacheSettings, storage: str | Path, base: Mapping[str, Any] | None) -> float:
    """Bytes that the cache of `plan` may take: the budget, and no more than a share of what is free.

    What an interrupted build of the same cache left is counted as free, and a cache that exists needs no room: the same
    command finds the same plan again. `base` None: the teachers do not exist yet, and so no cache of them.
    """
    left = 0
    if base is not None:
        if find(storage, base, plan) is not None:
            return math.inf
        left = sum(path.stat().st_size for path in partial_folder(folder_of(storage, base, plan)).glob("*"))
    free = FREE_SHARE * shutil.disk_usage(storage).free + left
    return free if settings.budget_gb is None else min(free, settings.budget_gb * 1e9)


def _build(
    plan: Plan,
    base: dict[str, Any],
    teachers: Sequence[Teacher],
    store: TokenStore,
    windows: Windows,
    storage: str | Path,
    resources: Resources,
) -> TeacherCache:
    folder = folder_of(storage, base, plan)
    tokens = windows.count * store.window
    logger.info(
        f"building the teacher cache {folder.name}: {plan.describe()}; {tokens:,} tokens, about "
        f"{gigabytes(plan.bytes_per_token() * tokens)} ({plan.bytes_per_token():,} bytes a token)"
    )
    job = CacheJob(
        store=str(store.folder),
        teachers=tuple(str(teacher.folder) for teacher in teachers),
        windows=windows,
        plan=plan,
        work=str(partial_folder(folder)),
        rows_per_shard=rows_per_shard(plan, store.window),
        device="cuda" if resources.gpus else "cpu",
        folder=str(folder),
        precision=base.get("precision", "auto"),
    )

    def build(work: Path) -> dict[str, Any]:
        started = time.monotonic()
        (work / MANIFEST).unlink(missing_ok=True)  # of a build that was killed before its folder got its name
        _fill(job, resources)
        return {
            "kind": "teacher cache",
            "version": CACHE_VERSION,
            "base": base,
            "plan": plan.as_json(),
            "description": plan.describe(),
            "teachers": [asdict(teacher.shape) for teacher in teachers],
            "teacher_folders": [str(teacher.folder) for teacher in teachers],
            "store_folder": str(store.folder),
            "windows": {split: len(rows) for split, rows in windows.rows.items()},
            "rows_per_shard": job.rows_per_shard,
            "columns": [column.name for column in plan.columns],
            "logits_columns": [plan.logits_column(k) for k in range(len(teachers))]
            if plan.form in ("final_hidden", "dense")
            else [],
            "bytes_per_token": plan.bytes_per_token(),
            "seconds": round(time.monotonic() - started, 1),
            "files": job.published() or {},
        }

    try:
        mark_checked(folder, build_once(folder, build, keep_partial=True))
    except OSError as error:
        raise _stopped(job, error.strerror or str(error)) from None
    forget_folder(folder / NOTES)
    cache = TeacherCache.open(folder)
    for name, share in cache.explained().items():
        logger.info(f"  {name}: {100 * share:.1f} % of the variance is kept")
    logger.info(f"teacher cache {folder.name}: {cache.describe()}, {cache.manifest['seconds']:.0f} s")
    return cache


def _fill(job: CacheJob, resources: Resources) -> None:
    """Write all files of the cache. Teachers that a GPU does not hold are spread over twice as many, up to a node's."""
    most = max(gpus for _, gpus in resources.nodes)
    while True:
        try:
            _measure(job, resources)
            return _write(job, resources)
        except torch.OutOfMemoryError:
            if job.gpus >= most:
                raise _stopped(job, f"the teachers do not fit on the {most} GPUs of a node") from None
            job = replace(job, gpus=min(2 * job.gpus, most))
            logger.info(f"the teachers do not fit on fewer GPUs: each is spread over {job.gpus}")


def _measure(job: CacheJob, resources: Resources) -> None:
    """Write statistics and heads, unless an earlier build left them."""
    paths, published = [job.bring(name) for name in (STATISTICS, HEADS)], job.published()
    if all(path.exists() for path in paths):
        for path in paths:
            if published is not None and path.name not in published:  # the process died in between
                job.publish(path)
        return
    # on a CPU this process measures, which has the libraries loaded; a GPU may be another node's
    linear = ray_writer.measure(job) if job.device == "cuda" and resources.ray else writer.measure(job)
    if not linear and job.plan.form == "final_hidden":
        forget_folder(Path(job.work))
        forget_folder(Path(job.folder))
        raise _NotLinearError


def _write(job: CacheJob, resources: Resources) -> None:
    """Write all shards that do not exist, and log the progress."""
    total = job.windows.count
    written = job.written()
    missing = [shard for shard in job.shards() if shard not in written]
    done = total - sum(job.size(*shard) for shard in missing)
    if done:
        logger.info(f"continues: {done:,} of {total:,} windows are complete")
    if not missing:
        return
    started, logged, first = time.monotonic(), time.monotonic(), done
    write = ray_writer.write_shards(job, missing, resources) if resources.ray else writer.write_shards(job, missing)
    for rows, reason in write:
        if reason == OUT_OF_MEMORY:
            raise torch.OutOfMemoryError(reason)
        if reason is not None:
            raise _stopped(job, reason)
        done += rows
        if time.monotonic() - logged > 5 or done == total:
            logged = time.monotonic()
            speed = (done - first) / max(1e-9, logged - started)
            logger.info(
                f"cache {100 * done / total:3.0f} %  {done:,}/{total:,} windows  "
                f"about {(total - done) / speed:.0f} s left"
            )


def _stopped(job: CacheJob, reason: str) -> PalenkaError:
    return PalenkaError(
        f"the teacher cache could not be completed ({reason}); {len(job.written())} of {len(job.shards())} shards are "
        f"kept in {shown(job.work)}: free space or fix the cause, and run the same command again to continue"
    )
