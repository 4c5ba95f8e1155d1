"""Whether a student's steps are repeated as one CUDA graph: only where this machine has shown that they are right so.

Before steps are repeated for the first time with a device, its software and a kind of training, a few are taken both
ways (`distill.static.check`). The answer is kept in `artifacts/steps/`, so that no later trial of that kind asks again.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from palenka_tune.config.files import fingerprint, read_json, write_json
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.static import compiling
from palenka_tune.distill.static.check import BOUNDS, compare
from palenka_tune.distill.static.graph import Capture, cuda_graph
from palenka_tune.distill.static.trunk import trunk_of
from palenka_tune.errors import first_line

logger = logging.getLogger(__name__)
DEVICES = ("cuda",)  # on which a graph is worth it
VERSION = 1  # of the code that is asked about


def repeat_steps(loop: TrainingLoop, artifacts: Path, capture: Capture = cuda_graph) -> None:
    """Let `loop` repeat its steps if it can, `recipe.step` is `auto`, and that gives the same here.

    If not, the reason is said as a warning, and steps are taken one operation after another.
    """
    if not can_repeat(loop):
        return
    kind = kind_of(loop)
    path = artifacts / "steps" / f"{fingerprint(kind)}.json"
    if path.exists():
        answer = read_json(path)
    else:
        answer = _ask(loop, capture)
        write_json(path, {**answer, "kind": kind})
    if answer["agrees"]:
        loop.capture = capture
    else:
        logger.warning(f"steps are not repeated as a CUDA graph, so that they are slower: {answer['reason']} ({path})")


def can_repeat(loop: TrainingLoop) -> bool:
    """Whether a graph could hold the steps of `loop`."""
    objective = loop.objective
    return (
        loop.recipe.step == "auto"
        and loop.device.type in DEVICES
        and loop.world.size == 1
        and loop.dtype in BOUNDS
        and (not isinstance(objective, DistillationObjective) or getattr(objective.source, "static", False))
        and trunk_of(loop.model, loop.dtype, loop.train.shape[1]) is not None
    )


def kind_of(loop: TrainingLoop) -> dict[str, Any]:
    """What an answer holds for: the device, its software and what a step consists of; not numbers that it reads."""
    objective = loop.objective
    config: Any = loop.model.config
    loss: dict[str, Any] = {}
    if isinstance(objective, DistillationObjective):
        settings = asdict(objective.settings)
        numbers = ("alpha", "beta", "temperature", "ce_weight", "beta_until", "divergence_weight")
        loss = {name: value for name, value in settings.items() if name not in numbers}
        loss |= {"kl": objective.settings.alpha > 0, "hidden": objective.settings.beta > 0}
        loss |= {"form": getattr(objective.source, "form", None), "teachers": len(objective.source.teachers)}
    device = torch.cuda.get_device_name(loop.device) if loop.device.type == "cuda" else loop.device.type
    return {
        "version": VERSION,
        "device": device,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "precision": str(loop.dtype),
        "family": config.model_type,
        "tied": bool(config.tie_word_embeddings),
        "accumulate": loop.recipe.accumulate > 1,
        "averaging": loop.average is not None,
        "loss": loss,
    }


def _ask(loop: TrainingLoop, capture: Capture) -> dict[str, Any]:
    """The answer, and why it is no. What fails with compiled functions is tried once more without."""
    try:
        found = compare(loop, capture)
    except Exception as error:  # compilers and drivers raise what they like
        reason = first_line(error)
        if not compiling.is_off():
            compiling.switch_off(reason)
            return _ask(loop, capture)
        return {"agrees": False, "reason": f"capturing failed ({reason})"}
    logger.info(f"steps as a CUDA graph beside steps one by one: {found.describe()}")
    return {**found.as_json(), "reason": "" if found.agrees else f"they differ: {found.describe()}"}
