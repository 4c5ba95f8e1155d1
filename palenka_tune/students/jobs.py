"""Students trained side by side on Ray, each to its end: finalists over seeds, and the distilled rows of the poster.

In: `StudentJob`s, plain data. Out: for each what `result.json` in its folder holds, beside `student/`, a Hugging Face
folder. A job whose result is there is not run again; one that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from palenka_tune.cluster.tasks import PROGRESS, run_tasks
from palenka_tune.config.artifacts import MANIFEST
from palenka_tune.config.files import fingerprint, read_json, write_json, write_text
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.storage import mirror
from palenka_tune.students.bench import Bench, BenchSpec

RESULT, STUDENT = "result.json", "student"
BETWEEN = 256  # dev windows of a validation before the end


@dataclass(frozen=True)
class StudentJob:
    """One student: what it is trained on and how, the `folder` it goes to, and what its model card says.

    `data` is the fingerprint of the data, `teachers` the teachers' names and fingerprints: with the settings they are
    the student's identity.
    """

    name: str
    folder: str
    bench: BenchSpec
    distill: DistillSettings
    recipe: Recipe
    seed: int
    tokenizer_dir: str
    data: str
    data_line: str
    teachers: tuple[tuple[str, str], ...]

    @property
    def identity(self) -> str:
        settings = {"distill": asdict(self.distill), "recipe": asdict(self.recipe), "seed": self.seed}
        signals: Any = "online"
        if self.bench.cache is not None:
            plan = read_json(Path(self.bench.cache) / MANIFEST)["plan"]
            signals = {key: plan[key] for key in ("form", "encoding", "samples")}
        # the device stands for the precision that `auto` means there
        made = {"student": asdict(self.bench.student), "signals": signals, "device": self.bench.device}
        return fingerprint({**settings, **made, "data": self.data, "teachers": self.teachers})

    def result(self) -> dict[str, Any] | None:
        """What an earlier run of this very job left."""
        return kept(Path(self.folder) / RESULT, self)


class Identified(Protocol):
    """A job that says what shapes its result."""

    @property
    def identity(self) -> str: ...


def kept(path: Path, job: Identified) -> dict[str, Any] | None:
    """The result at `path`, if it is one of this very job."""
    if not mirror.fetch(path):
        return None
    found: dict[str, Any] = read_json(path)
    return found if found.get("identity") == job.identity else None


@lru_cache(maxsize=1)
def _bench(spec: BenchSpec) -> Bench:
    """The bench of a process, which the jobs that it runs one after another share."""
    return Bench(spec)


def train_student(job: StudentJob, threads: int = 1) -> dict[str, Any]:
    """Train one student in this process; returns its result. One that diverged has no `val_ce` and says why."""
    import torch
    from transformers.utils import logging as transformers_logging

    from palenka_tune.distill.loop import DivergedError
    from palenka_tune.models.card import model_card
    from palenka_tune.models.export import export_student
    from palenka_tune.students.fit import CHECKPOINT, train_to_end, weights_sha256

    known = job.result()
    if known is not None:
        return known
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(threads)
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    loop = _bench(job.bench).loop(job.distill, job.recipe, seed=job.seed)
    try:
        measured = train_to_end(
            loop,
            folder,
            job.identity,
            between=BETWEEN,
            strict=False,
            log=lambda line: _say(folder / PROGRESS, line),
        )
    except DivergedError as error:  # it would come back: this is what there is to know of the student
        result = {"name": job.name, "identity": job.identity, "seed": job.seed, "diverged": str(error), "val_ce": None}
        _keep(folder, result)
        return result
    card = model_card(
        title=job.name,
        model=loop.model,
        data=job.data_line,
        settings={**asdict(job.distill), **asdict(job.recipe), "seed": job.seed},
        val_ce=measured["val_ce"],
        teachers=[name for name, _ in job.teachers] if job.distill.alpha or job.distill.beta else [],
    )
    export_student(loop.model, job.tokenizer_dir, folder / STUDENT, card=card)
    result = {
        "name": job.name,
        "identity": job.identity,
        "seed": job.seed,
        **measured,
        "weights_sha256": weights_sha256(loop.model),
    }
    mirror.publish(folder / STUDENT)
    _keep(folder, result)
    for name in (CHECKPOINT, PROGRESS):
        mirror.forget(folder / name)
    return result


def _say(path: Path, line: str) -> None:
    write_text(path, line)
    mirror.publish(path)


def _keep(folder: Path, result: Mapping[str, Any]) -> None:
    write_json(folder / RESULT, result)
    mirror.publish(folder / RESULT)


def train_students(
    jobs: Sequence[StudentJob],
    *,
    concurrent: int,
    cpus: int,
    gpus: float,
    log: Callable[[str], None],
    on_result: Callable[[StudentJob, dict[str, Any]], None] = lambda job, result: None,
) -> list[dict[str, Any]]:
    """Train `jobs` in the open Ray session, `concurrent` at a time with `cpus` cores and `gpus` of a GPU each.

    Returns their results in order; a job that could not be run has `failed`, the reason, and the others go on.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting = []
    for job in jobs:
        known = job.result()
        if known is None:
            waiting.append(job)
        else:
            found[job.name] = known
            on_result(job, known)
    if found:
        log(f"{len(found)} of {len(jobs)} students are there already")

    def done(job: StudentJob, result: dict[str, Any]) -> None:
        found[job.name] = result
        how = result.get("failed") or result.get("diverged")
        if how is None:
            how = f"val/ce {result['val_ce']:.4f}, {result['steps']} steps, {result['seconds']:.0f} s"
        log(f"[{len(found)}/{len(jobs)}] {job.name}: {how}")
        on_result(job, result)

    run_tasks(train_student, waiting, done, concurrent=concurrent, cpus=cpus, gpus=gpus, log=log)
    return [found[job.name] for job in jobs]
