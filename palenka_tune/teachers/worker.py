"""One process of a teacher's training: torch alone, so that it runs and is tested without Ray.

It writes into the job's working folder: `progress.jsonl` (a line per record and per epoch), `last.pt` (a checkpoint per
epoch, from which the next attempt continues with exactly the same numbers), `best.pt` (weights of the epoch with the
lowest dev cross-entropy) and, at the end, `export/` (a Hugging Face folder) with `result.json`. The working folder must
be one that all ranks see, or lie in the mirror of a remote storage.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from palenka_tune.config.files import atomic_path, write_json
from palenka_tune.data.store import TokenStore, subset
from palenka_tune.data.windows import window_tensor
from palenka_tune.distill.heads import unwrap
from palenka_tune.distill.loop import (
    DamagedError,
    DivergedError,
    TrainingLoop,
    TrainRecord,
    World,
    load_checkpoint,
    save_checkpoint,
    steps_for,
)
from palenka_tune.distill.objective import PlainObjective
from palenka_tune.errors import PalenkaError
from palenka_tune.models.build import build_for_store, count_parameters
from palenka_tune.models.card import model_card
from palenka_tune.models.export import export_student
from palenka_tune.storage import mirror
from palenka_tune.teachers.spec import TeacherSpec

PROGRESS, LAST, BEST = "progress.jsonl", "last.pt", "best.pt"
FAILED, EXPORT, RESULT = "failed.json", "export", "result.json"
PUBLISH_SECONDS = 5.0  # between two uploads of the progress to a remote storage

Report = Callable[[dict[str, float]], None]
"""Called with the metrics of an epoch once it is over and its checkpoint written, on every rank."""


@dataclass(frozen=True)
class TeacherJob:
    """What every rank needs: `store`, `tokenizer_dir` and `work` are folders, `data` is a line for the model card.

    `dev_windows` caps the dev windows (None: all). The global batch is the recipe's, split over the ranks.
    """

    spec: TeacherSpec
    store: Path
    tokenizer_dir: Path
    work: Path
    data: str
    dev_windows: int | None = None


def run_rank(job: TeacherJob, *, device: torch.device, world: World, report: Report) -> None:
    """Train to the end as one rank, from `last.pt` on if it exists.

    A fault that would come back (the loss diverged, the GPU is too small) is written to `failed.json` before it is
    raised; while that file exists the function returns at once, so that a restart costs nothing.
    """
    failed = job.work / FAILED
    if mirror.fetch(failed):
        return
    try:
        _Run(job, device, world, report).run()
    except PalenkaError as error:
        _fail(failed, str(error))
        raise
    except torch.OutOfMemoryError:
        recipe = job.spec.recipe
        reason = (
            f"{device} has too little memory for micro-batches of "
            f"{math.ceil(recipe.batch_size / world.size / recipe.accumulate)} windows; raise accumulate above "
            f"{recipe.accumulate} or use more GPUs"
        )
        _fail(failed, reason)
        raise


def _fail(path: Path, reason: str) -> None:
    write_json(path, {"reason": reason})
    mirror.publish(path)


def epoch_ends(epochs: float, windows: int, batch_size: int, total_steps: int) -> list[int]:
    """Steps after which an epoch is complete; the last is `total_steps`, also where the last epoch is a part of one."""
    whole = [round(epoch * windows / batch_size) for epoch in range(1, math.ceil(epochs) + 1)]
    return sorted({step for step in whole if 0 < step < total_steps} | {total_steps})


class _Run:
    """The state of `run_rank`."""

    def __init__(self, job: TeacherJob, device: torch.device, world: World, report: Report) -> None:
        self.job, self.world, self.report = job, world, report
        self.work = job.work
        store = TokenStore.open(job.store)
        train, dev = window_tensor(store.windows("train")), store.windows("dev")
        if job.dev_windows is not None and job.dev_windows < len(dev):
            dev = dev[subset(len(dev), job.dev_windows / len(dev))]
        self.model = build_for_store(job.spec.preset, store, seed=job.spec.seed, device=device)
        recipe, seed, pad_id = job.spec.recipe, job.spec.seed, store.pad_id
        model, objective, measured = _distributed(self.model, device, world), PlainObjective(pad_id), window_tensor(dev)
        self.loop = TrainingLoop(
            model, objective, train, measured, recipe, pad_id=pad_id, seed=seed, world=world, on_record=self._on_record
        )
        self.ends = epoch_ends(recipe.epochs, len(train), recipe.batch_size, steps_for(recipe, len(train)))
        self.tokens_per_step = recipe.batch_size * store.window
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self.published = time.monotonic()

    @property
    def best_epoch(self) -> int:
        return 1 + min(range(len(self.history)), key=lambda i: self.history[i]["val_ce"])

    def run(self) -> None:
        if mirror.fetch(self.work / LAST):
            self._resume(self.work / LAST)
        if self.world.rank == 0:
            mirror.fetch(self.work / PROGRESS)
        for epoch, end in enumerate(self.ends, start=1):
            if epoch > len(self.history):
                self._epoch(epoch, end)
        if self.world.rank == 0:
            self._export()

    def _resume(self, path: Path) -> None:
        try:
            state = load_checkpoint(path)
        except DamagedError as error:
            raise PalenkaError(f"{error}; delete it to start over") from None
        self.loop.load_state_dict(state["loop"])
        self.history, self.seconds = state["history"], state["seconds"]

    def _epoch(self, epoch: int, end: int) -> None:
        started = time.perf_counter()
        self.loop.run_until(end)
        measured = self.loop.validate()
        if not math.isfinite(measured["val_ce"]):
            raise DivergedError(f"the dev cross-entropy became {measured['val_ce']} in epoch {epoch}")
        self.seconds += time.perf_counter() - started
        self.history.append({"epoch": epoch, "step": self.loop.step, **measured})
        if self.world.rank == 0:
            # best first: if the process dies between the two, the epoch is repeated and writes the same weights
            if self.best_epoch == epoch:
                self._save(unwrap(self.loop.model).state_dict(), BEST)
            state = {"loop": self.loop.state_dict(), "history": self.history, "seconds": self.seconds}
            self._save(state, LAST)
            self._progress({"kind": "epoch", "epoch": epoch, "tokens": self.loop.tokens, **measured})
        self.report(dict(self.history[-1]))

    def _save(self, state: dict[str, Any], name: str) -> None:
        with atomic_path(self.work / name) as temporary:
            save_checkpoint(state, temporary)
        mirror.publish(self.work / name)

    def _on_record(self, record: TrainRecord) -> None:
        if self.world.rank == 0:
            left = (self.loop.total_steps - record.step) * self.tokens_per_step / record.tokens_per_second
            epoch = sum(end < record.step for end in self.ends) + 1
            loss = record.terms["total"]
            self._progress({"kind": "train", **asdict(record), "epoch": epoch, "loss": loss, "seconds_left": left})

    def _progress(self, line: dict[str, Any]) -> None:
        line |= {"epochs": len(self.ends), "total_steps": self.loop.total_steps}
        with (self.work / PROGRESS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if line["kind"] == "epoch" or time.monotonic() - self.published > PUBLISH_SECONDS:
            self.published = time.monotonic()
            mirror.publish(self.work / PROGRESS)

    def _export(self) -> None:
        """Write the best epoch's weights as a Hugging Face folder, then the result."""
        mirror.fetch(self.work / BEST)  # of an attempt on another node
        self.model.load_state_dict(load_checkpoint(self.work / BEST))
        best = self.history[self.best_epoch - 1]
        spec, parameters = self.job.spec, count_parameters(self.model)
        card = model_card(
            title=spec.preset.name,
            model=self.model,
            data=self.job.data,
            settings={**asdict(spec.recipe), "seed": spec.seed, "best epoch": f"{self.best_epoch} of {len(self.ends)}"},
            val_ce=best["val_ce"],
        )
        shutil.rmtree(self.work / EXPORT, ignore_errors=True)  # of an attempt that died while its files were moved
        export_student(self.model, self.job.tokenizer_dir, self.work / EXPORT, card=card)
        write_json(
            self.work / RESULT,
            {
                "parameters": parameters,
                "epochs": self.history,
                "best_epoch": self.best_epoch,
                "val_ce": best["val_ce"],
                "tokens": self.loop.tokens,
                "seconds": self.seconds,
            },
        )
        mirror.publish(self.work / EXPORT)
        mirror.publish(self.work / RESULT)


def _distributed(model: PreTrainedModel, device: torch.device, world: World) -> nn.Module:
    """`model` in DistributedDataParallel if several ranks train it."""
    if world.size == 1:
        return model
    return nn.parallel.DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        # The only buffers are constants (rotary frequencies); broadcasting them before each forward would also hang
        # a validation in which ranks have unequal numbers of batches.
        broadcast_buffers=False,
    )
