"""TRL's `GKDTrainer` off policy: one teacher, the forward KL, no cross-entropy."""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks.peers.work import Speed, WindowDataset, Work, run_trainer, trainer_settings


def trl_gkd(work: Work) -> Speed:
    """Train by TRL; its batches are made by a collator that hands the windows on."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    windows = [WindowDataset(work.windows_NT)[number] for number in range(len(work.windows_NT))]

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}

    with tempfile.TemporaryDirectory() as folder:
        trainer = GKDTrainer(
            model=work.student(),
            teacher_model=work.teachers()[0],
            args=GKDConfig(**trainer_settings(work, folder), lmbda=0.0, beta=0.0, temperature=1.0),
            data_collator=collate,
            train_dataset=Dataset.from_list([{name: v.tolist() for name, v in row.items()} for row in windows]),
            processing_class=AutoTokenizer.from_pretrained(work.place.prepared.tokenizer_dir),
        )
        return run_trainer(trainer, work)
