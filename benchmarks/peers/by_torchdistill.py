"""torchdistill's `DistillationBox`: teachers and student are watched by hooks, the loss is a sum of terms."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import SequentialSampler

from benchmarks.peers.work import ALPHA, BETA, LR, TEMPERATURE, Speed, WindowDataset, Work, timed


class Teachers(nn.Module):
    """Both teachers as the one model that torchdistill takes."""

    def __init__(self, models: list[Any], deep: bool) -> None:
        super().__init__()
        self.models, self.deep = nn.ModuleList(models), deep

    def forward(self, tokens: Tensor) -> list[Any]:
        return [model(tokens, output_hidden_states=self.deep, use_cache=False) for model in self.models]


class Student(nn.Module):
    """The student and the projections of its hidden states."""

    def __init__(self, model: Any, projections: Any, deep: bool) -> None:
        super().__init__()
        self.model, self.deep = model, deep
        self.projections = projections if deep else None

    def forward(self, tokens: Tensor) -> Any:
        return self.model(tokens, output_hidden_states=self.deep, use_cache=False)


class Term(nn.Module):
    """KL and, for deep work, cross-entropy and the hidden term, of the outputs that the hooks kept."""

    def __init__(self, work: Work, student: Student) -> None:
        super().__init__()
        self.work = work
        self.projections = [student.projections]  # in a list: they are the student's, not the loss'

    def forward(self, student: Any, teacher: Any, targets: Tensor, *args: Any, **kw: Any) -> Tensor:
        output, taught = student["."]["output"], teacher["."]["output"]
        deep = self.work.kind == "deep"
        tau = TEMPERATURE if deep else 1.0
        mean = sum(each.logits.float() for each in taught) / len(taught)
        logits = output.logits[:, :-1].float()
        log_p, log_q = F.log_softmax(logits / tau, -1), F.log_softmax(mean[:, :-1] / tau, -1)
        kl = F.kl_div(log_p.flatten(0, 1), log_q.flatten(0, 1), log_target=True, reduction="batchmean")
        if not deep:
            return kl
        ce = F.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())
        hidden = [
            torch.stack(
                [
                    F.mse_loss(project(output.hidden_states[ours]).float(), each.hidden_states[theirs].float())
                    for (theirs, ours), project in zip(layer_map.items(), projections, strict=True)
                ]
            ).mean()
            for each, layer_map, projections in zip(taught, self.work.maps, self.projections[0], strict=True)  # type: ignore[arg-type]
        ]
        return ce + ALPHA * tau**2 * kl + BETA * torch.stack(hidden).mean()


def by_torchdistill(work: Work) -> Speed:
    """Train by torchdistill, with autocast around its forward pass for bfloat16."""
    from torchdistill.core.distillation import DistillationBox

    deep = work.kind == "deep"
    student = Student(work.student(), work.projections(), deep)
    box = DistillationBox(
        Teachers(work.teachers(), deep),
        student,
        {"train": WindowDataset(work.windows_NT)},
        {
            "num_epochs": 1,
            "train_data_loader": {
                "dataset_id": "train",
                "requires_supp": False,
                "sampler": {"class_or_func": SequentialSampler},
                "kwargs": {"batch_size": work.batch},
            },
            "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
            "student": {"forward_proc": "forward_batch_only"},
            "optimizer": {
                "key": "AdamW",
                "kwargs": {"lr": LR, "betas": (0.9, 0.98), "weight_decay": 0.1},
                "max_grad_norm": 1.0,
            },
            "criterion": {
                "key": "WeightedSumLoss",
                "kwargs": {"sub_terms": {"all": {"criterion": Term(work, student), "weight": 1.0}}},
            },
        },
        torch.device("cpu"),
        None,
        False,
        1,
    )
    box.pre_epoch_process(epoch=0)
    batches = iter(box.train_data_loader)

    def step() -> float:
        tokens = next(batches)["input_ids"]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=work.bfloat16):
            loss = box.forward_process(tokens, tokens, None)
        box.post_forward_process(loss=loss)
        return float(loss.detach())

    return timed(step, step, work)
