"""What every contender does: the models, the batches and the loss, and how its speed is taken.

Two kinds of work. `logits`: one teacher, the mean over positions of KL(teacher || student) at temperature 1, which is
what trainers of one teacher offer. `deep`: cross-entropy + KL of two teachers' averaged logits at temperature 2 + the
mean squared distance of projected hidden states from the teachers' at nine layers each, as the poster maps them.

Shapes: N windows, T tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks import poster_loop
from benchmarks.place import Place
from palenka_tune.distill.layer_maps import resolve_layer_map
from palenka_tune.models.export import load_model

Kind = Literal["logits", "deep"]
ALPHA, BETA, TEMPERATURE, LR, CLIP = 1.0, 3.0, 2.0, 1e-3, 1.0
WARM_UP = 1  # steps before the clock


@dataclass(frozen=True)
class Work:
    """`windows_NT` are trained on in their order, `batch` at a time; teachers are those of `place`, the first alone for
    `logits`."""

    kind: Kind
    place: Place
    windows_NT: Tensor
    batch: int
    steps: int
    dtype: torch.dtype

    def student(self) -> PreTrainedModel:
        """Fresh, with the same weights for everybody, as transformers builds it."""
        model = self.place.sizes.build(self.place.sizes.student, seed=0)
        model.set_attn_implementation("sdpa")
        return model

    def teachers(self) -> list[PreTrainedModel]:
        """Loaded as transformers loads them."""
        count = 1 if self.kind == "logits" else 2
        found = [load_model(teacher.folder)[0] for teacher in self.place.teachers[:count]]
        for teacher in found:
            teacher.set_attn_implementation("sdpa")
            teacher.requires_grad_(False)
        return found

    @property
    def maps(self) -> list[dict[int, int]]:
        """For each teacher {its layer: the student's layer} of the compared hidden states."""
        student = self.place.sizes.student
        return [
            resolve_layer_map(
                "poster",
                teacher=number,
                teacher_depth=preset.layers,
                student_depth=student.layers,
                family=preset.family,
            )
            for number, preset in enumerate(self.place.sizes.teachers)
        ]

    def projections(self) -> nn.ModuleList:
        """For each teacher a list of linear projections from the student's width to its own, one for each pair."""
        torch.manual_seed(1)
        width = self.place.sizes.student.width
        return nn.ModuleList(
            nn.ModuleList(nn.Linear(width, preset.width) for _ in layer_map)
            for preset, layer_map in zip(self.place.sizes.teachers, self.maps, strict=True)
        )

    @property
    def bfloat16(self) -> bool:
        return self.dtype is torch.bfloat16


@dataclass(frozen=True)
class Speed:
    """`first_loss` is that of the first step; `seconds` are those of the steps after the warm-up."""

    first_loss: float
    seconds: float

    def tokens_per_second(self, work: Work) -> float:
        return work.steps * work.batch * work.windows_NT.shape[1] / self.seconds


Contender = Callable[[Work], Speed]


class WindowDataset(poster_loop.WindowDataset):
    """With the attention mask that some trainers ask for."""

    def __init__(self, windows_NT: Tensor) -> None:
        super().__init__(windows_NT, None)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        found = super().__getitem__(number)
        return {**found, "attention_mask": torch.ones_like(found["input_ids"])}


def trainer_settings(work: Work, folder: str) -> dict[str, Any]:
    """Arguments that every `transformers.Trainer` is given: the same optimiser, and nothing that is not training."""
    return {
        "output_dir": folder,
        "max_steps": WARM_UP + work.steps,
        "per_device_train_batch_size": work.batch,
        "learning_rate": LR,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.1,
        "max_grad_norm": CLIP,
        "adam_beta2": 0.98,
        "bf16": work.bfloat16,
        "use_cpu": True,
        "dataloader_drop_last": True,
        "dataloader_pin_memory": False,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }


class Clock(poster_loop.StepClock):
    """The loss of the first step too."""

    first_loss = 0.0

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kw: Any) -> None:
        if state.global_step == 1 and logs and "loss" in logs:
            self.first_loss = float(logs["loss"])


def run_trainer(trainer: Any, work: Work) -> Speed:
    """Train with a `transformers.Trainer` and say how fast it was."""
    from transformers.trainer_callback import PrinterCallback

    clock = Clock(WARM_UP, WARM_UP + work.steps)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return Speed(clock.first_loss, clock.seconds)


def timed(first: Callable[[], float], step: Callable[[], float], work: Work) -> Speed:
    """The same for a loop that takes a step at a time: `first` takes the first and gives its loss."""
    first_loss = first()
    for _ in range(WARM_UP - 1):
        step()
    started = time.perf_counter()
    for _ in range(work.steps):
        step()
    return Speed(first_loss, time.perf_counter() - started)
