"""The training loop of every model here: teachers (plain cross-entropy, DDP) and students (distillation).

A loop owns a model, an objective and windows, and moves in steps: `run_until(step)` trains, `validate()` measures on
dev, `state_dict()` is a checkpoint from which another process resumes with exactly the same numbers. Batches depend on
seed and step alone, so neither a stop nor the number of workers changes what a step sees.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.average import WeightAverage
from palenka_tune.distill.heads import unwrap
from palenka_tune.distill.matmul import multiplies_bfloat16, quick_linears
from palenka_tune.distill.objective import DistillationObjective, LossTerms, PlainObjective
from palenka_tune.distill.schedules import lr_factor
from palenka_tune.distill.signals import WindowBatch
from palenka_tune.distill.static.graph import Capture, CaptureError
from palenka_tune.distill.static.step import StaticStep
from palenka_tune.distill.static.validation import StaticValidation
from palenka_tune.errors import PalenkaError

Objective = PlainObjective | DistillationObjective
logger = logging.getLogger(__name__)

LOG_EVERY = 20


class DivergedError(PalenkaError):
    """The training loss is NaN or infinite."""


@dataclass(frozen=True)
class World:
    """This process among those that train one model together (DDP)."""

    rank: int = 0
    size: int = 1


@dataclass(frozen=True)
class TrainRecord:
    """Means over the steps since the last record: loss terms in nats per token, speed in tokens per second."""

    step: int
    tokens: int
    lr: float
    tokens_per_second: float
    terms: dict[str, float]


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a device that multiplies it, float16 on other GPUs, float32 on other CPUs."""
    if precision == "auto":
        if multiplies_bfloat16(device):
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def computing_in(dtype: torch.dtype, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Autocast to `dtype`; for float32, nothing."""
    return contextlib.nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype=dtype)


def decay_groups(model: nn.Module, weight_decay: float, lr: float) -> list[dict[str, Any]]:
    """Parameter groups with weight decay on matrices only, as is usual: not on biases and norms."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay, "lr": lr},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0, "lr": lr},
    ]


class TrainingLoop:
    """Trains `model` on `train` windows (N,T) under `objective`.

    `model` may be wrapped in DistributedDataParallel; `world` then says which slice of each global batch this process
    takes. `total_steps` defaults to the recipe's epochs over `train`. `train` may hold several `copies` of the text,
    each cut into windows at other places; every epoch takes the next copy. With `averaging` an average of the weights
    is kept beside them, by which `validate` can measure. `on_record` receives a `TrainRecord` every 20 steps.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        train: Tensor,
        dev: Tensor,
        recipe: Recipe,
        *,
        pad_id: int,
        seed: int,
        total_steps: int | None = None,
        copies: int = 1,
        averaging: bool = False,
        world: World | None = None,
        on_record: Callable[[TrainRecord], None] | None = None,
    ) -> None:
        self.model, self.objective, self.train, self.dev = model, objective, train, dev
        self.recipe, self.pad_id, self.seed, self.on_record = recipe, pad_id, seed, on_record
        self.world = world or World()
        self.copies, self.epoch_windows = copies, len(train) // copies
        self.total_steps = total_steps or steps_for(recipe, self.epoch_windows)
        self.device = next(model.parameters()).device
        quick_linears(model)
        self.objective.to(self.device)
        quick_linears(self.objective)  # the projections
        self.dtype = resolve_precision(recipe.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
        self.model_parameters = [p for p in model.parameters() if p.requires_grad]
        self.average = WeightAverage(self.model_parameters) if averaging else None
        groups = decay_groups(model, recipe.weight_decay, recipe.lr)
        groups += [{"weight_decay": 0.0, **group} for group in objective.parameter_groups(recipe.lr)]
        self.base_lrs = [group["lr"] for group in groups]
        self.optimizer = torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2), fused=True)
        self.step, self.tokens = 0, 0
        self.capture: Capture | None = None  # into what steps are made, if they are not taken one by one
        self.falls_back = True  # to steps one by one, where a capture fails
        self._static: StaticStep | None = None
        self._validation: StaticValidation | None = None
        self._epoch_orders: dict[int, Tensor] = {}

    def batch_index(self, step: int) -> Tensor:
        """The windows of the global batch of `step`: every epoch is a permutation, and batches are cut from all epochs
        end to end, so that each is full."""
        size, count = self.recipe.batch_size, self.epoch_windows
        start, parts = step * size, []
        while size > 0:
            epoch, offset = divmod(start, count)
            if epoch not in self._epoch_orders:
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                near = {other: order for other, order in self._epoch_orders.items() if abs(other - epoch) == 1}
                self._epoch_orders = near | {epoch: torch.randperm(count, generator=generator)}
            part = self._epoch_orders[epoch][offset : offset + size]
            parts.append(part + epoch % self.copies * count)
            start, size = start + len(part), size - len(part)
        return torch.cat(parts)

    def _batch(self, index: Tensor, split: str, windows: Tensor) -> WindowBatch:
        tokens = windows[index].to(self.device, torch.int64, non_blocking=True)
        return WindowBatch(split, index, tokens)

    def _targets(self, tokens: Tensor) -> int:
        """Number of next-token targets: the shifted positions that are not padding."""
        return int((tokens[:, 1:] != self.pad_id).sum())

    def run_until(self, step: int) -> list[TrainRecord]:
        """Train to `step` (at most `total_steps`) and return the records; raises `DivergedError` on NaN or infinity."""
        self.model.train()
        records: list[TrainRecord] = []
        end = min(step, self.total_steps)
        while self.step < end:
            started, first_tokens, since = time.perf_counter(), self.tokens, self.step
            terms = self.take(min(end, since - since % LOG_EVERY + LOG_EVERY) - since)
            if not math.isfinite(terms["total"]):
                raise DivergedError(
                    f"the training loss became {terms['total']} within steps {since + 1} to {self.step}"
                )
            speed = (self.tokens - first_tokens) / max(1e-9, time.perf_counter() - started)
            lr = float(self.optimizer.param_groups[0]["lr"])
            records.append(TrainRecord(self.step, self.tokens, lr, speed, terms))
            if self.on_record:
                self.on_record(records[-1])
        return records

    def take(self, count: int) -> dict[str, float]:
        """Take `count` steps, at most `LOG_EVERY`; the mean of each term over those that have it."""
        if self.capture is not None:
            try:
                return self._repeat(count, self.capture)
            except CaptureError as error:
                if not self.falls_back:
                    raise
                logger.warning(f"steps are not repeated as a CUDA graph, so that they are slower: {error}")
                self.capture = None
                self.forget_graphs()
        totals: dict[str, Tensor] = {}
        counts: Counter[str] = Counter()
        for _ in range(count):
            for name, value in self._train_step().items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value
                counts[name] += 1
        return {name: float(value) / counts[name] for name, value in totals.items()}

    def _repeat(self, count: int, capture: Capture) -> dict[str, float]:
        """`count` steps as `capture` makes them."""
        if self._static is None:
            self._static = StaticStep(self, rows=LOG_EVERY, capture=capture)
        sums, counts = self._static.run(count)
        self.step += count
        self.tokens += count * self.recipe.batch_size * self.train.shape[1]
        return {name: value / counts[name] for name, value in sums.items()}

    def forget_graphs(self) -> None:
        """Capture anew before the next step: the optimiser is no longer the one that the graphs move."""
        self._static = self._validation = None

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """The precision of forward passes."""
        return computing_in(self.dtype, self.device)

    def _train_step(self) -> dict[str, Tensor]:
        factor = lr_factor(self.step, self.recipe.warmup_steps, self.total_steps)
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * factor
        index = self.batch_index(self.step)
        whole = self.train[index]
        targets = max(1, self._targets(whole))
        mine = index.tensor_split(self.world.size)[self.world.rank]
        means: dict[str, Tensor] = {}
        micro_batches = mine.tensor_split(self.recipe.accumulate)
        for number, part in enumerate(micro_batches):
            batch = self._batch(part, "train", self.train)
            # the mean over the global batch, though slices differ in targets; DDP divides by the workers
            share = self._targets(self.train[part]) / targets
            with self._no_sync(number + 1 < len(micro_batches)), self.computing():
                terms: LossTerms = self.objective(self.model, batch, self.step)
                self._prefetch(micro_batches, number)
                self.scaler.scale(terms.total * (share * self.world.size)).backward()
            for name, value in terms.named().items():
                means[name] = means.get(name, torch.zeros((), device=self.device)) + value * share * self.world.size
        self.apply_gradients()
        self.step += 1
        if self.average is not None:
            self.average.take(self.average.weight(self.step))
        self.tokens += whole.numel()
        return means

    def apply_gradients(self) -> None:
        """Clip what the parameters' gradients are, move the parameters, and drop the gradients."""
        self.scaler.unscale_(self.optimizer)
        # clipped apart, so that the projections' gradient does not shorten the student's
        nn.utils.clip_grad_norm_(self.model_parameters, self.recipe.grad_clip)
        projections = [parameter for parameter in self.objective.parameters() if parameter.grad is not None]
        if projections:
            nn.utils.clip_grad_norm_(projections, self.recipe.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _prefetch(self, micro_batches: tuple[Tensor, ...], number: int) -> None:
        """Let the objective fetch what the next micro-batch needs while this one runs backward."""
        if number + 1 < len(micro_batches):
            self.objective.prefetch("train", micro_batches[number + 1], self.step)
        elif self.step + 1 < self.total_steps:
            mine = self.batch_index(self.step + 1).tensor_split(self.world.size)[self.world.rank]
            self.objective.prefetch("train", mine.tensor_split(self.recipe.accumulate)[0], self.step + 1)

    def _no_sync(self, on: bool) -> contextlib.AbstractContextManager[Any]:
        no_sync = getattr(self.model, "no_sync", None)
        return no_sync() if on and no_sync else contextlib.nullcontext()

    @torch.no_grad()
    def validate(
        self,
        batch_size: int | None = None,
        *,
        teachers: bool = True,
        most: int | None = None,
        averaged: bool = False,
    ) -> dict[str, float]:
        """`val_ce`, `val_ppl` and, where the loss has them, `val_kl`, `val_hidden`, `val_total` on the dev windows:
        all, or a fixed choice of at `most` so many, spread over dev.

        Without `teachers` only the first two are measured, from the student alone. With several workers each measures
        its slice, and the sums are added over the workers. `batch_size` defaults to the windows of a micro-batch.
        `averaged` measures the average of the weights, which a loop with `averaging` has, in their place.
        """
        if averaged and self.average is not None:
            with self.average.swapped():
                return self.validate(batch_size, teachers=teachers, most=most)
        if self.capture is not None and not teachers:
            return self._repeated_validation(self.capture, self._chosen(most))
        self.model.eval()
        objective = self.objective if teachers else PlainObjective(self.pad_id)
        step = min(self.step, self.total_steps - 1)  # at the end a decaying weight has its last value, not 0
        batch_size = batch_size or max(1, self.recipe.batch_size // self.recipe.accumulate)
        sums: dict[str, Tensor] = {}
        mine = self._chosen(most).tensor_split(self.world.size)[self.world.rank]
        targets = torch.zeros((), dtype=torch.float64, device=self.device)
        for index in mine.split(batch_size):
            batch = self._batch(index, "dev", self.dev)
            count = self._targets(self.dev[index])
            if not count:  # a window of one token and padding has nothing to predict
                continue
            with self.computing():
                terms = objective(self.model, batch, step).named()
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(targets)) + value.double() * count
            targets += count
        if self.world.size > 1:
            for value in (targets, *(sums[name] for name in sorted(sums))):
                torch.distributed.all_reduce(value)
        means = {f"val_{name}": float(value / targets) for name, value in sums.items() if name != "target_std"}
        if not teachers:
            del means["val_total"]
        means["val_ppl"] = math.exp(min(means["val_ce"], 50.0))
        return means

    def _chosen(self, most: int | None) -> Tensor:
        """The numbers of dev windows: all, or at `most` so many."""
        return torch.linspace(0, len(self.dev) - 1, min(len(self.dev), most or len(self.dev))).long()

    def _repeated_validation(self, capture: Capture, chosen: Tensor) -> dict[str, float]:
        if self._validation is None:
            self._validation = StaticValidation(self, self.recipe.batch_size // self.recipe.accumulate, capture)
        val_ce = self._validation.cross_entropy(self.dev[chosen])
        return {"val_ce": val_ce, "val_ppl": math.exp(min(val_ce, 50.0))}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain numbers only (safe to load as weights)."""
        return {
            "model": unwrap(self.model).state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": _plain(self.optimizer.state_dict()),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
            "total_steps": self.total_steps,
            **({"average": self.average.state_dict()} if self.average is not None else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state`; raises `PalenkaError` if it belongs to a run of another length."""
        if state["total_steps"] != self.total_steps:
            raise PalenkaError(
                f"the checkpoint belongs to a run of {state['total_steps']} steps, this one has {self.total_steps}; "
                "resume with the settings it was started with"
            )
        unwrap(self.model).load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.forget_graphs()
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.step, self.tokens = int(state["step"]), int(state["tokens"])


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's state as any loop reads it, with learning rates as numbers."""
    groups = [{**group, "lr": float(group["lr"]), "capturable": False} for group in state["param_groups"]]
    return {**state, "param_groups": groups}


def steps_for(recipe: Recipe, windows: int) -> int:
    """Optimiser steps of `recipe.epochs` over `windows`."""
    return max(1, round(recipe.epochs * windows / recipe.batch_size))


def save_checkpoint(state: dict[str, Any], path: Any) -> None:
    """Write `TrainingLoop.state_dict()` with torch; only `load_checkpoint` reads it back."""
    torch.save(state, path)


class DamagedError(PalenkaError):
    """A checkpoint file that does not hold what was written."""


def load_checkpoint(path: Any) -> dict[str, Any]:
    """Read a checkpoint into the CPU's memory, without running code from it (`weights_only`).

    Raises `DamagedError` if the file is not whole. It is a zip file, and torch does not compare its checksums.
    """
    try:
        with zipfile.ZipFile(path) as file:
            bad = file.testzip()
        if bad is None:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    except (OSError, MemoryError):
        raise
    except Exception as error:  # zipfile, torch and pickle raise what they like at bytes that make no sense
        raise DamagedError(f"{path} is damaged ({type(error).__name__})") from None
    raise DamagedError(f"{path} is damaged (in {bad})")
