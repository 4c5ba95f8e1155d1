"""A small whole search that has ended, run as a user would: read by the tests of what a search leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.faults.searches import Place
from tests.support.small_place import VOCABULARY, WINDOW, make_place

SPACE = {
    "description": "a test",
    "data": {"vocabulary": VOCABULARY, "window": WINDOW},
    "student": {"train_windows": 128, "dev_windows": 32},
    "recipe": {"batch_size": 16, "epochs": 2, "warmup_steps": 2, "precision": "float32"},
    "cache": {"precision": "float32"},  # by rounding in bfloat16, settings that are alike would end apart
    "search": {
        "samples": 9,
        "arms": {"logits": 1, "hidden": 8},  # four of which are start-up trials, never paused
        "rungs": [0.375],
        "reduction": 3,
        "max_failures": 0,
        "sampler": "random",
        "seeds": 0,
    },
    "parameters": {
        "beta": {"log_uniform": [0.3, 30]},
        # 1e30 makes every loss NaN after a step or two: such a trial must fail alone
        "recipe.lr": {"choice": [3e-3, 1e30]},
        "projection.rank": {"choice": [8, None]},
    },
}


@dataclass(frozen=True)
class FinishedSearch:
    """`place` has `data/`, `pairs/`, `space.yaml` and `runs/`, in which the search is; `said` is what it printed."""

    place: Path
    said: str

    @property
    def folder(self) -> Path:
        return self.place / "runs" / "first"

    @classmethod
    def make(cls, folder: Path) -> FinishedSearch:
        (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "teachers": make_place(folder)}))
        place = Place(folder)
        place.finish("first", "--register", "student")
        return cls(folder, place.said("first"))
