"""Checkpoints of trials: where they are, whether there is room for one, and which of them are still needed.

A checkpoint gets its name when it is complete and synced, so that it is whole, or was damaged from outside, which
`distill.loop.load_checkpoint` finds.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from palenka_tune.config.files import atomic_path, no_room
from palenka_tune.storage import mirror

SPARE = 1 << 20  # bytes that a checkpoint leaves free for the ledger and the spool
POLL = 1.0  # seconds between two looks at a full disk


def checkpoint_path(folder: Path, trial_id: str) -> Path:
    """Where the checkpoint of a trial is."""
    return folder / f"{trial_id}.pt"


def write(path: Path, state: dict[str, Any], waiting: Callable[[int], None]) -> None:
    """Write `state` to `path`.

    While the disk has no room `waiting(bytes)` is called about once a second; it may raise to give up.
    """
    from palenka_tune.distill.loop import save_checkpoint

    size = tensor_bytes(state)
    while True:
        if shutil.disk_usage(path.parent).free >= size + SPARE:
            try:
                with atomic_path(path) as temporary:
                    save_checkpoint(state, temporary)
                return
            except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where a disk is full
                if not no_room(error) and not _is_full(path.parent):
                    raise
        waiting(size + SPARE)
        time.sleep(POLL)


def tensor_bytes(state: Any) -> int:
    """Bytes of all tensors in nested dictionaries and lists."""
    if isinstance(state, Mapping):
        return sum(tensor_bytes(value) for value in state.values())
    if isinstance(state, list | tuple):
        return sum(tensor_bytes(value) for value in state)
    return int(state.numel() * state.element_size()) if hasattr(state, "element_size") else 0


def _is_full(folder: Path) -> bool:
    """Whether the disk or a quota refuses another megabyte."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(SPARE))
            file.flush()
    except OSError as error:
        return no_room(error)
    return False


def prune(folder: Path, keep: Iterable[str]) -> None:
    """Delete the checkpoints of all trials but those in `keep`, on this node and in a remote storage."""
    names = {path.name for path in folder.glob("*.pt")}
    remote = mirror.remote_of(folder)
    if remote is not None:
        names |= {key.rpartition("/")[2] for key in remote[0].keys(remote[1]) if key.endswith(".pt")}
    for name in names - {checkpoint_path(folder, trial_id).name for trial_id in keep}:
        mirror.forget(folder / name)
