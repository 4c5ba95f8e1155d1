"""The poster's training loop as its users would write it: what distillation costs without this product.

A `transformers.Trainer` whose loss runs both teachers on every step, on whole logits:

    CE + alpha * tau^2 * KL(softmax(mean of the teachers' logits / tau) || softmax(student's logits / tau))
       + beta * MSE(projected hidden states)

In: a student, its teachers, windows of tokens. Out: tokens per second. As published, the KL is summed over a window and
averaged over the batch (`batchmean`), and the hidden term is evaluated under `no_grad` with projections that no
optimiser owns. Both are kept: neither costs the poster's loop anything, and the second makes it cheaper, as a hidden
term with a gradient would pay for its backward pass and for the projections' updates.

Shapes: B windows, T tokens, V vocabulary, D student width, E a teacher's width.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from palenka_tune.config.recipe import Precision
from palenka_tune.distill.layer_maps import resolve_layer_map
from palenka_tune.distill.loop import resolve_precision
from palenka_tune.errors import UserError

IGNORED = -100  # the label that Hugging Face models leave out of their cross-entropy


def check_trainer() -> None:
    """Raise `UserError` if the Trainer lacks what it needs, before a benchmark has run its other contenders."""
    if importlib.util.find_spec("accelerate") is None:
        raise UserError(
            "the poster's loop is a transformers.Trainer, which needs accelerate, and it is not installed; "
            "install it with pip install 'palenka-tune[bench]'"
        )


class WindowDataset(Dataset[dict[str, Tensor]]):
    """Windows (N,T) as a causal language model of Hugging Face takes them; padding has no label."""

    def __init__(self, windows_NT: Tensor, pad_id: int | None) -> None:
        self.windows_NT, self.pad_id = windows_NT, pad_id

    def __len__(self) -> int:
        return len(self.windows_NT)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        tokens_T = self.windows_NT[number].long()
        labels_T = tokens_T if self.pad_id is None else tokens_T.masked_fill(tokens_T == self.pad_id, IGNORED)
        return {"input_ids": tokens_T, "labels": labels_T}


class PosterTrainer(Trainer):
    """Distils `teachers` into the model: logits by KL, hidden states by the poster's layer maps."""

    def __init__(
        self, *args: Any, teachers: Sequence[PreTrainedModel], alpha: float, beta: float, temperature: float, **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        self.alpha, self.beta, self.temperature = alpha, beta, temperature
        self.teachers = [teacher.to(self.args.device).eval().requires_grad_(False) for teacher in teachers]
        student = self.model.config
        self.maps = [
            resolve_layer_map(
                "poster",
                teacher=number,
                teacher_depth=teacher.config.num_hidden_layers,
                student_depth=student.num_hidden_layers,
                family=teacher.config.model_type,
            )
            for number, teacher in enumerate(self.teachers)
        ]
        # the smaller side is projected to the larger one; never given to the optimiser, as published
        self.projections = [
            nn.ModuleList(
                nn.Linear(min(widths), max(widths), device=self.args.device)
                for widths in [(student.hidden_size, teacher.config.hidden_size)] * len(layer_map)
            )
            for teacher, layer_map in zip(self.teachers, self.maps, strict=True)
        ]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The three terms; the mean of the cross-entropy is that of the batch, so `num_items_in_batch` is not used."""
        student = model(**inputs, output_hidden_states=True, use_cache=False)
        # the Trainer's mixed precision covers its own model only; a user would give it to the teachers too
        with torch.no_grad(), self.accelerator.autocast():
            taught = [
                teacher(inputs["input_ids"], output_hidden_states=True, use_cache=False) for teacher in self.teachers
            ]
        mean_BTV = torch.stack([output.logits.float() for output in taught]).mean(0)
        kl = F.kl_div(
            F.log_softmax(student.logits.float() / self.temperature, dim=-1),
            F.softmax(mean_BTV / self.temperature, dim=-1),
            reduction="batchmean",
        )
        hidden = self._hidden(student.hidden_states, [output.hidden_states for output in taught])
        loss = student.loss + self.alpha * self.temperature**2 * kl + self.beta * hidden
        return (loss, student) if return_outputs else loss

    @torch.no_grad()
    def _hidden(self, student: tuple[Tensor, ...], teachers: list[tuple[Tensor, ...]]) -> Tensor:
        """Mean over teachers of the mean over mapped pairs; without a gradient, as published."""
        each = []
        for states, layer_map, projections in zip(teachers, self.maps, self.projections, strict=True):
            distances = []
            for (teacher_layer, student_layer), project in zip(layer_map.items(), projections, strict=True):
                small_BTD, large_BTE = student[student_layer].float(), states[teacher_layer].float()
                if small_BTD.shape[-1] > large_BTE.shape[-1]:
                    small_BTD, large_BTE = large_BTE, small_BTD
                distances.append(F.mse_loss(project(small_BTD), large_BTE))
            each.append(torch.stack(distances).mean())
        return torch.stack(each).mean()


class StepClock(TrainerCallback):
    """Seconds between the ends of optimiser steps `first` and `last`, with the device's work finished at both."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.started = self.ended = 0.0

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kw: Any) -> None:
        if state.global_step in (self.first, self.last):
            if args.device.type == "cuda":
                torch.cuda.synchronize(args.device)
            now = time.perf_counter()
            if state.global_step == self.first:
                self.started = now
            else:
                self.ended = now

    @property
    def seconds(self) -> float:
        return self.ended - self.started


def poster_trainer(
    student: PreTrainedModel,
    teachers: Sequence[PreTrainedModel],
    windows_NT: Tensor,
    batch_size: int,
    steps: int,
    folder: str,
    *,
    pad_id: int | None = None,
    alpha: float = 0.1,
    beta: float = 0.1,
    temperature: float = 2.0,
    precision: Precision = "auto",
) -> PosterTrainer:
    """The poster's recipe on the device where `student` lies, with everything that is not training turned off.

    `precision` as in the product's recipe. `folder` is what the Trainer must be given; nothing is written to it.
    """
    dtype = resolve_precision(precision, student.device)
    for model in (student, *teachers):
        model.set_attn_implementation("sdpa")  # as its users have it, not the product's own
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=2.5e-4,
        weight_decay=0.1,
        warmup_steps=200,
        lr_scheduler_type="cosine",
        bf16=dtype is torch.bfloat16,
        fp16=dtype is torch.float16,
        use_cpu=student.device.type == "cpu",
        dataloader_drop_last=True,
        dataloader_pin_memory=student.device.type == "cuda",
        remove_unused_columns=False,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = PosterTrainer(
        model=student,
        args=arguments,
        train_dataset=WindowDataset(windows_NT, pad_id),
        teachers=teachers,
        alpha=alpha,
        beta=beta,
        temperature=temperature,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def poster_throughput(
    student: PreTrainedModel,
    teachers: Sequence[PreTrainedModel],
    windows_NT: Tensor,
    batch_size: int,
    steps: int,
    *,
    warm_up: int = 1,
    **settings: Any,
) -> float:
    """Tokens per second over `steps` optimiser steps, after `warm_up`, all inside one `Trainer.train()`.

    Trains `student` in place. `windows_NT` holds at least `batch_size` windows; they are gone through as often as the
    steps need. `settings` are those of `poster_trainer`.
    """
    clock = StepClock(warm_up, warm_up + steps)
    with tempfile.TemporaryDirectory(prefix="poster_loop_") as folder:
        trainer = poster_trainer(student, teachers, windows_NT, batch_size, warm_up + steps, folder, **settings)
        trainer.add_callback(clock)
        trainer.train()
    return steps * batch_size * windows_NT.shape[1] / clock.seconds
