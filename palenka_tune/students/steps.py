"""Whether a student's steps are repeated as one CUDA graph: only where this machine has shown that they are right so.

Before steps are repeated for the first time with a device, its software and a kind of training, a few are taken both
ways (`distill.static.check`). The answer is kept in `artifacts/steps/`, so that no later trial of that kind asks again.
"""

from __future__ import annotations

import contextlib
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
from palenka_tune.distill.static.graph import Capture, CaptureError, cuda_graph
from palenka_tune.distill.static.trunk import trunk_of

logger = logging.getLogger(__name__)
DEVICES = ("cuda",)  # on which a graph is worth it
VERSION = 1  # of the code that is asked about
# of a loss: numbers that a step reads or multiplies by, which decide nothing about how it is computed
NUMBERS = ("alpha", "beta", "temperature", "ce_weight", "beta_until", "divergence_weight", "teacher_weights")


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
        with contextlib.suppress(OSError):  # then the next trial asks again
            write_json(path, {**answer, "kind": kind})
    if not answer["agrees"]:
        logger.warning(f"steps are not repeated as a CUDA graph, so that they are slower: {answer['reason']} ({path})")
        return
    if not answer["compiled"] and not compiling.is_off():
        compiling.switch_off(f"as {path} says")
    loop.capture = capture


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
    """What an answer holds for: the device, its software, the shapes and what a step consists of."""
    objective, recipe = loop.objective, loop.recipe
    config: Any = loop.model.config
    loss: dict[str, Any] = {}
    if isinstance(objective, DistillationObjective):
        settings = asdict(objective.settings)
        del settings["projection"]["lr_multiplier"]
        source: Any = objective.source
        loss = {name: value for name, value in settings.items() if name not in NUMBERS}
        loss |= {"source": type(source).__name__, "form": source.form, "encoding": source.encoding}
        loss |= {"teachers": [asdict(shape) for shape in objective.source.teachers]}
    weights = (loop.objective.loss_weights(step) for step in range(loop.total_steps))
    cuda = loop.device.type == "cuda"
    return {
        "version": VERSION,
        "device": torch.cuda.get_device_name(loop.device) if cuda else loop.device.type,
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda}",
        "transformers": version("transformers"),
        "precision": str(loop.dtype),
        "family": config.model_type,
        "tied": bool(config.tie_word_embeddings),
        "shapes": [list(parameter.shape) for parameter in loop.model.parameters()],
        "batch": [recipe.batch_size, recipe.accumulate, loop.train.shape[1]],
        "averaging": loop.average is not None,
        "steps": sorted({(alpha > 0, beta > 0) for alpha, beta in weights}),
        "loss": loss,
    }


def _ask(loop: TrainingLoop, capture: Capture) -> dict[str, Any]:
    """The answer, and why it is no. What fails with compiled functions is tried once more without."""
    try:
        found = compare(loop, capture)
    except CaptureError as error:
        if compiling.is_off():
            return {"agrees": False, "compiled": False, "reason": f"capturing failed ({error})"}
        compiling.switch_off(str(error))
        answer = _ask(loop, capture)
        if not answer["agrees"]:
            compiling.switch_on()  # it was not that
        return answer
    logger.info(f"steps as a CUDA graph beside steps one by one: {found.describe()}")
    reason = "" if found.agrees else f"they differ: {found.describe()}"
    return {**found.as_json(), "compiled": not compiling.is_off(), "reason": reason}
