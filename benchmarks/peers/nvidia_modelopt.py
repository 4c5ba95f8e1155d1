"""NVIDIA ModelOpt's `KDTrainer`: one teacher, the forward KL."""

from __future__ import annotations

import tempfile

from benchmarks.peers.work import Speed, WindowDataset, Work, run_trainer, trainer_settings


def nvidia_modelopt(work: Work) -> Speed:
    """Train by ModelOpt."""
    from modelopt.torch.distill.plugins.huggingface import KDTrainer
    from transformers import TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        trainer = KDTrainer(
            model=work.student(),
            args=TrainingArguments(**trainer_settings(work, folder)),
            train_dataset=WindowDataset(work.windows_NT),
            distill_args={"teacher_model": work.teachers()[0], "temperature": 1.0},
        )
        return run_trainer(trainer, work)
