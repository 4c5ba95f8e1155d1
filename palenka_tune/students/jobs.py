"""Students trained side by side on Ray, each to its end: finalists over seeds, and the distilled rows of the poster.

Each `StudentJob`, plain data, leaves `result.json` in its folder and `student/`, a Hugging Face folder. A job that has
a result is not run again; one that was stopped resumes from its checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from palenka_tune.cluster import compute
from palenka_tune.cluster.tasks import PROGRESS, Job, Share, run_jobs
from palenka_tune.config.artifacts import MANIFEST
from palenka_tune.config.files import fingerprint, read_json, write_text
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.loop import resolve_precision
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.models.folder import STUDENT
from palenka_tune.models.origin import Origin
from palenka_tune.storage import mirror
from palenka_tune.students.bench import Bench, BenchSpec
from palenka_tune.words import plural

logger = logging.getLogger(__name__)
BETWEEN = 256  # dev windows of a validation before the end


@dataclass(frozen=True)
class StudentJob(Job):
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
    origin: Origin | None = None

    @property
    def identity(self) -> str:
        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "step"}
        settings = {"distill": asdict(self.distill), "recipe": recipe, "seed": self.seed}
        signals: Any = "online"
        if self.bench.cache is not None:
            plan = read_json(Path(self.bench.cache) / MANIFEST)["plan"]
            signals = {key: plan[key] for key in ("form", "encoding", "samples")}
        # the device stands for the precision that `auto` means there, but for CPUs that multiply bfloat16
        device = self.bench.device
        if resolve_precision(self.recipe.precision, torch.device(device)) is torch.bfloat16 and device == "cpu":
            device = "cpu in bfloat16"
        made = {"student": self.bench.student.identity, "signals": signals, "device": device}
        return fingerprint({**settings, **made, "data": self.data, "teachers": self.teachers})


@lru_cache(maxsize=1)
def _bench(spec: BenchSpec) -> Bench:
    """The bench of a process, which the jobs that it runs one after another share."""
    return Bench(spec)


def train_student(job: StudentJob, threads: int = 1) -> dict[str, Any]:
    """Train one student in this process; returns its result. One that diverged has no `val_ce` and says why."""
    from transformers.utils import logging as transformers_logging

    from palenka_tune.distill.loop import DivergedError
    from palenka_tune.models.card import model_card
    from palenka_tune.models.export import export_student
    from palenka_tune.models.sample import sample
    from palenka_tune.students.fit import CHECKPOINT, train_to_end, weights_sha256

    known = job.result()
    if known is not None:
        return known
    transformers_logging.set_verbosity_error()
    compute.begin(threads)
    began = time.time()
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    bench = _bench(job.bench)
    loop = bench.loop(job.distill, job.recipe, seed=job.seed)
    result: dict[str, Any] = {"name": job.name, "identity": job.identity, "seed": job.seed}
    tell = partial(_say, folder / PROGRESS)
    try:
        result |= train_to_end(loop, folder, job.identity, between=BETWEEN, strict=False, tell=tell)
    except DivergedError as error:  # it would come back: this is what there is to know of the student
        result |= {"diverged": str(error), "val_ce": None, "began": began, "ended": time.time()}
        job.keep(result)
        return result
    taught = job.distill.alpha or job.distill.beta or job.bench.student.init == "teacher"
    card = model_card(
        title=job.name,
        model=loop.model,
        data=job.data_line,
        settings={**asdict(job.distill), **asdict(job.recipe), "seed": job.seed},
        val_ce=result["val_ce"],
        teachers=[name for name, _ in job.teachers] if taught else [],
        origin=job.origin,
        sample=sample(loop.model, job.tokenizer_dir, bench.store),
    )
    export_student(loop.model, job.tokenizer_dir, folder / STUDENT, card=card)
    result["weights_sha256"] = weights_sha256(loop.model)
    result["ended"] = time.time()
    result["began"] = min(began, result["ended"] - result["seconds"])  # a process before this one may have begun
    mirror.publish(folder / STUDENT)
    job.keep(result)
    for name in (CHECKPOINT, PROGRESS):
        mirror.forget(folder / name)
    return result


def _say(path: Path, line: str) -> None:
    write_text(path, line)
    mirror.publish(path)


def train_students(
    jobs: Sequence[StudentJob],
    share: Share,
    on_result: Callable[[StudentJob, dict[str, Any]], None] = lambda job, result: None,
) -> list[dict[str, Any]]:
    """Train `jobs` in the open Ray session; results in order, with `failed` and a reason where there are none."""
    return run_jobs(train_student, jobs, share, _describe, on_result)


def _describe(result: Mapping[str, Any]) -> str:
    if "diverged" in result:
        return str(result["diverged"])
    return f"val/ce {result['val_ce']:.4f}, {plural(result['steps'], 'step')}, {result['seconds']:.0f} s"
