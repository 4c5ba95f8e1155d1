"""A search for a student's settings as Ray Tune's documentation teaches it: Optuna proposes, ASHA stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM


@dataclass(frozen=True)
class Task:
    """Folders of the teachers and of a fresh student, windows in files, and the fixed part of the recipe."""

    teachers: tuple[str, ...]
    student: str
    train: str
    dev: str
    steps: int
    batch: int
    warmup: int
    rungs: tuple[int, ...]
    space: dict[str, Any]


class Distillation(tune.Trainable):
    """One trial: every call of `step` trains to the next rung and measures on dev."""

    def setup(self, config: dict[str, Any], task: Task) -> None:
        torch.set_num_threads(1)
        self.task = task
        self.teachers = [AutoModelForCausalLM.from_pretrained(each).requires_grad_(False) for each in task.teachers]
        self.train_windows, self.dev_windows = torch.load(task.train), torch.load(task.dev)
        self.begin(config)

    def begin(self, config: dict[str, Any]) -> None:
        self.setting, self.done = config, 0
        self.model = AutoModelForCausalLM.from_pretrained(self.task.student)
        width = self.model.config.hidden_size
        self.projections = nn.ModuleList(nn.Linear(width, each.config.hidden_size) for each in self.teachers)
        parameters = [*self.model.parameters(), *self.projections.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=config["lr"], betas=(0.9, 0.98), weight_decay=0.1)
        self.order = torch.Generator().manual_seed(0)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save(self.model.state_dict(), Path(checkpoint_dir) / "model.pt")

    def load_checkpoint(self, checkpoint: str) -> None:
        self.model.load_state_dict(torch.load(Path(checkpoint) / "model.pt"))

    def step(self) -> dict[str, Any]:
        end = next(rung for rung in (*self.task.rungs, self.task.steps) if rung > self.done)
        self.model.train()
        while self.done < end:
            self.train_step()
        return {"val_ce": self.validate(), "steps": self.done, "done": self.done >= self.task.steps}

    def train_step(self) -> None:
        task, done = self.task, self.done
        per_epoch = len(self.train_windows) // task.batch
        if done % per_epoch == 0:
            self.permutation = torch.randperm(len(self.train_windows), generator=self.order)
        start = done % per_epoch * task.batch
        tokens = self.train_windows[self.permutation[start : start + task.batch]].long()
        progress = (done - task.warmup) / max(1, task.steps - task.warmup)
        factor = (done + 1) / task.warmup if done < task.warmup else 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = self.setting["lr"] * factor
        self.loss(tokens).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1

    def loss(self, tokens: Tensor) -> Tensor:
        tau = self.setting["temperature"]
        student = self.model(tokens, labels=tokens, output_hidden_states=True, use_cache=False)
        with torch.no_grad():
            taught = [teacher(tokens, output_hidden_states=True, use_cache=False) for teacher in self.teachers]
        mean = sum(each.logits for each in taught) / len(taught)
        log_p, log_q = F.log_softmax(student.logits / tau, -1), F.log_softmax(mean / tau, -1)
        kl = F.kl_div(log_p.flatten(0, 1), log_q.flatten(0, 1), log_target=True, reduction="batchmean")
        hidden = sum(
            F.mse_loss(
                project(student.hidden_states[-1]),
                F.layer_norm(each.hidden_states[-1], (each.hidden_states[-1].shape[-1],)),
            )
            for project, each in zip(self.projections, taught, strict=True)
        ) / len(taught)
        return student.loss + self.setting["alpha"] * tau**2 * kl + self.setting["beta"] * hidden  # type: ignore[no-any-return]

    @torch.no_grad()
    def validate(self) -> float:
        self.model.eval()
        parts = self.dev_windows.long().split(self.task.batch)
        total = sum(float(self.model(part, labels=part, use_cache=False).loss) * len(part) for part in parts)
        return total / len(self.dev_windows)


class Budget(tune.Stopper):
    """Ends the search when its trials have taken so many steps."""

    def __init__(self, steps: int) -> None:
        self.left, self.taken = steps, dict[str, int]()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.taken[trial_id] = result.get("steps", 0)
        return False

    def stop_all(self) -> bool:
        return sum(self.taken.values()) >= self.left


def search(task: Task, budget: int, *, reuse_actors: bool, seed: int, folder: Path) -> tuple[dict[str, Any], int]:
    """The best settings of trials that ran to their end, and the steps that all of them took."""
    stopper = Budget(budget)
    rungs = len(task.rungs) + 1
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(Distillation, task=task), {"cpu": 1}),
        param_space=task.space,
        tune_config=tune.TuneConfig(
            metric="val_ce",
            mode="min",
            num_samples=-1,
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(max_t=rungs, grace_period=1, reduction_factor=2),
            reuse_actors=reuse_actors,
            max_concurrent_trials=2,
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name=f"stock-{reuse_actors}", stop=stopper, verbose=0),
    )
    results = tuner.fit()
    ended = [each for each in results if (each.metrics or {}).get("steps") == task.steps]
    best = min(ended, key=lambda each: each.metrics["val_ce"])
    return dict(best.config), sum(stopper.taken.values())
