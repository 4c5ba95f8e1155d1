"""The part of a build that runs on Ray: shards spread over the cluster by Ray Data, an actor per GPU or CPU core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from palenka_tune.cache.faults import reason
from palenka_tune.cache.job import CacheJob
from palenka_tune.cluster import compute
from palenka_tune.cluster.session import Resources
from palenka_tune.config.console import keep_printing

if TYPE_CHECKING:
    from palenka_tune.cache.writer import ShardWriter


class _Worker:
    """A Ray Data actor: holds the teachers, writes a shard per row."""

    def __init__(self, job: CacheJob) -> None:
        self.job = job

    @cached_property
    def writer(self) -> ShardWriter:
        """Opened with the first shard, where its faults are caught."""
        from palenka_tune.cache.writer import ShardWriter

        keep_printing()
        compute.begin(threads=1)
        return ShardWriter(self.job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows, errors = [], []
        for split, number in zip(batch["split"], batch["number"], strict=True):
            try:
                rows.append(self.writer.write(str(split), int(number)))
                errors.append("")
            except Exception as error:  # returned as a row, because Ray Data would wrap it in pages of its own
                rows.append(0)
                errors.append(reason(error))
        return {"split": batch["split"], "number": batch["number"], "rows": rows, "error": errors}


def gpus_of(job: CacheJob) -> int:
    """GPUs of each worker."""
    return job.gpus if job.device == "cuda" else 0


def measure(job: CacheJob) -> bool:
    """`writer.measure` on a node of the cluster that has the device."""
    import ray

    from palenka_tune.cache.writer import measure as run

    task = ray.remote(num_cpus=1, num_gpus=gpus_of(job))(run)
    try:
        return bool(ray.get(task.remote(job)))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def write_shards(
    job: CacheJob, shards: Sequence[tuple[str, int]], resources: Resources
) -> Iterator[tuple[int, str | None]]:
    """Write `shards`; yields (windows, None) for each that is done, and (0, reason) for one that failed, the last."""
    import ray

    gpus = gpus_of(job)
    places = sum(node // gpus for _, node in resources.nodes) if gpus else resources.cpus
    actors = max(1, min(len(shards), places))
    # in a task, so that Ray Data's output goes to Ray's logs and not into the progress
    try:
        for row in ray.remote(num_cpus=0)(_stream).remote(job, list(shards), actors, gpus):
            rows, error = ray.get(row)
            yield rows, error
    except ray.exceptions.RayError as error:  # a node or a worker that died, which Ray Data could not replace
        yield 0, str(error).strip().splitlines()[-1]


def _stream(job: CacheJob, shards: list[tuple[str, int]], actors: int, gpus: int) -> Iterator[tuple[int, str | None]]:
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.from_items(
        [{"split": split, "number": number} for split, number in shards], override_num_blocks=len(shards)
    ).map_batches(
        _Worker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=gpus,
    )
    for row in dataset.iter_rows():
        yield int(row["rows"]), row["error"] or None
        if row["error"]:  # the caller gives up: no shard may be written after that
            return
