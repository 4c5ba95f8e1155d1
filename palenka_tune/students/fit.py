"""A student trained from its first step to its last, with checkpoints on the way. No Ray in here.

`train_to_end` is the loop of everything that trains a student outside the trials of a search: the command `distill`,
finalists, the rows of the poster. A run that was stopped resumes from its last checkpoint with the same numbers.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from palenka_tune.config.files import atomic_path
from palenka_tune.distill.heads import unwrap
from palenka_tune.distill.loop import DamagedError, TrainingLoop, TrainRecord, load_checkpoint, save_checkpoint
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.storage import mirror

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
CHECKPOINTS = 10
BETWEEN_LOOKS = 100  # steps from one validation to the next at least: a short training is not slowed down by them


def train_to_end(
    loop: TrainingLoop,
    folder: Path,
    identity: str,
    *,
    between: int | None = None,
    strict: bool = True,
    tell: Callable[[str], None] = logger.info,
) -> dict[str, Any]:
    """Train what is left of `loop`, leaving a checkpoint in `folder` every tenth of it, and validating there if 100
    steps have passed.

    Before the end only val/ce is measured, and on `between` dev windows, if that is given. A checkpoint that cannot be
    gone on from is an error, or, unless `strict`, is dropped and the training begins again.

    `tell` gets lines of progress.

    Returns what was measured at the end: `val_ce` (nats per token) and the other dev terms, `steps`, `tokens`,
    `seconds` of training in all processes, and the `curve` of the validations. The checkpoint stays: the caller
    removes it once the result is kept. `identity` names everything that shapes the student.

    Raises `UserError` for a checkpoint of another identity, `PalenkaError` for a damaged one, `DivergedError`.
    """
    path = folder / CHECKPOINT
    curve: list[dict[str, Any]] = []
    spent = 0.0
    try:
        curve, spent = _resume(path, loop, identity)
    except PalenkaError as error:
        if strict:
            raise
        tell(f"{error}: the training begins again")
        mirror.forget(path)
    if loop.step:
        tell(f"going on from step {loop.step} of {loop.total_steps}")
    loop.on_record = _progress(loop, tell)
    started = time.monotonic() - spent
    every = max(1, -(-loop.total_steps // CHECKPOINTS))
    look = max(every, BETWEEN_LOOKS)
    while loop.step < loop.total_steps:
        records = loop.run_until(loop.step + every)
        ended = loop.step == loop.total_steps
        if ended or loop.step % look < every:
            measured = loop.validate() if ended or between is None else loop.validate(teachers=False, most=between)
            curve.append({"step": loop.step, "tokens": loop.tokens, **measured, "train": records[-1].terms})
            tell(f"step {loop.step}/{loop.total_steps}  val/ce {measured['val_ce']:.4f} nats per token")
        spent = time.monotonic() - started
        with atomic_path(path) as temporary:
            state = {"loop": loop.state_dict(), "curve": curve, "identity": identity, "seconds": spent}
            save_checkpoint(state, temporary)
        mirror.publish(path)
    final = {name: value for name, value in curve[-1].items() if name.startswith("val_")}
    return {**final, "steps": loop.step, "tokens": loop.tokens, "seconds": round(spent, 2), "curve": curve}


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of a model's weights: equal for students that are equal bit for bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(unwrap(model).state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _progress(loop: TrainingLoop, tell: Callable[[str], None]) -> Callable[[TrainRecord], None]:
    """A line every hundred steps."""

    def record(entry: TrainRecord) -> None:
        if (entry.step // 20) % 5 == 0 or entry.step == loop.total_steps:
            left = (loop.total_steps - entry.step) * loop.recipe.batch_size * loop.train.shape[1]
            tell(
                f"step {entry.step}/{loop.total_steps}  loss {entry.terms['total']:.4f}  ce {entry.terms['ce']:.4f}  "
                f"{entry.tokens_per_second:,.0f} tokens/s  about {left / max(1.0, entry.tokens_per_second):.0f} s left"
            )

    return record


def _resume(path: Path, loop: TrainingLoop, identity: str) -> tuple[list[dict[str, Any]], float]:
    """Load the checkpoint at `path`, if there is one; returns the curve and the seconds so far."""
    if not mirror.fetch(path):
        return [], 0.0
    try:
        state = load_checkpoint(path)
    except DamagedError as error:
        raise PalenkaError(f"{error}; delete it to begin again") from None
    if state["identity"] != identity:
        raise UserError(f"{path.parent} holds a checkpoint of other settings; give another folder or delete that one")
    loop.load_state_dict(state["loop"])
    return list(state["curve"]), float(state.get("seconds", 0.0))
