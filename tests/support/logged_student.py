"""A student that MLflow takes for a model, and its logging as a search does it."""

from __future__ import annotations

import json
from pathlib import Path

from palenka_tune.tracking.tracker import Tracker

DEV = ("story dev", "0123456789abcdef")


def student(folder: Path, weights: str) -> Path:
    """A model folder that MLflow takes; nobody loads it here."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    return folder


def log(
    tracker: Tracker,
    folder: Path,
    val_ce: float,
    registered: str | None = None,
    measured_on: str = "story, 8 dev windows",
) -> None:
    """Log the student of the run `search`, and have it registered if a name is given."""
    metrics = {"val/ce": val_ce, "eval/order": 0.75}
    settings = {"alpha": 1.5, "projection.rank": None}
    tracker.log_model("search", folder, "best_student", settings=settings, metrics=metrics, step=512, measured_on=DEV)
    if registered:
        tracker.register_model(
            "search",
            folder,
            "best_student",
            registered=registered,
            val_ce=val_ce,
            measured_on=measured_on,
            description=f"val/ce {val_ce}: α=1.5",
        )
