"""A `transformers.Trainer` with the teachers in `compute_loss`, as people write it themselves (BabyLlama, for one)."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Trainer, TrainingArguments

from benchmarks.peers.work import (
    ALPHA,
    BETA,
    TEMPERATURE,
    Speed,
    WindowDataset,
    Work,
    run_trainer,
    trainer_settings,
)


class DistillationTrainer(Trainer):
    """The loss of `Work`, with the teachers beside the student."""

    def __init__(self, *args: Any, work: Work, teachers: list[Any], projections: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.work, self.teachers, self.projections = work, teachers, projections

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        deep = self.work.kind == "deep"
        labels = inputs["labels"] if deep else None
        student = model(inputs["input_ids"], labels=labels, output_hidden_states=deep, use_cache=False)
        with torch.no_grad(), self.accelerator.autocast():
            taught = [
                teacher(inputs["input_ids"], output_hidden_states=deep, use_cache=False) for teacher in self.teachers
            ]
        tau = TEMPERATURE if deep else 1.0
        mean = sum(output.logits.float() for output in taught) / len(taught)
        log_p = F.log_softmax(student.logits[:, :-1].float() / tau, dim=-1)
        log_q = F.log_softmax(mean[:, :-1] / tau, dim=-1)
        kl = F.kl_div(log_p.flatten(0, 1), log_q.flatten(0, 1), log_target=True, reduction="batchmean")
        if not deep:
            return kl
        hidden = []
        for output, layer_map, projections in zip(taught, self.work.maps, self.projections, strict=True):
            pairs = zip(layer_map.items(), projections, strict=True)
            distances = [
                F.mse_loss(project(student.hidden_states[ours]).float(), output.hidden_states[theirs].float())
                for (theirs, ours), project in pairs
            ]
            hidden.append(torch.stack(distances).mean())
        return student.loss + ALPHA * tau**2 * kl + BETA * torch.stack(hidden).mean()


def with_trainer(work: Work) -> Speed:
    """Train by `DistillationTrainer`; the projections train with the student."""
    student, projections = work.student(), work.projections()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(**trainer_settings(work, folder))
        parameters = [*student.parameters(), *(projections.parameters() if work.kind == "deep" else ())]
        optimizer = torch.optim.AdamW(parameters, lr=arguments.learning_rate, betas=(0.9, 0.98), weight_decay=0.1)
        trainer = DistillationTrainer(
            model=student,
            args=arguments,
            train_dataset=WindowDataset(work.windows_NT),
            optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)),
            work=work,
            teachers=work.teachers(),
            projections=projections,
        )
        return run_trainer(trainer, work)
