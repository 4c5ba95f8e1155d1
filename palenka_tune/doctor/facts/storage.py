"""Measures the storage as the driver sees it, and leaves a file there for the nodes to find.

A storage is a folder that all nodes share, or a bucket of which each node keeps a copy in its scratch folder. `probe`
looks for the file from each node.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from palenka_tune.doctor.facts import Disk
from palenka_tune.doctor.facts.probe import nearest_folder, within
from palenka_tune.errors import PalenkaError
from palenka_tune.storage.mirror import remote_of, shown, working_folder

STORE_SECONDS = 20.0  # for a bucket to answer


@dataclass(frozen=True)
class Mark:
    """The storage as the driver sees it, and the folder to work in, which is the same one unless the storage is a
    bucket. The file `name` in the storage holds `content` (None: it could not be written)."""

    storage: Disk
    work: Path
    name: str
    content: str | None


@contextlib.contextmanager
def marked(storage: str) -> Iterator[Mark]:
    """Write a file into the storage, which is created if it is a folder; remove it at the end. Raises `UserError` for
    a URL that cannot work."""
    work = working_folder(storage)
    remote = remote_of(work)
    name, content = f".doctor-{secrets.token_hex(8)}", secrets.token_hex(16)
    error = None
    try:
        work.mkdir(parents=True, exist_ok=True)
        if remote is None:
            (work / name).write_text(content, encoding="utf-8")
        else:
            bucket = remote[0]
            within(STORE_SECONDS, lambda: bucket.write(name, content.encode(), patience=0.0))
    except (PalenkaError, OSError) as problem:
        cause = problem.__cause__ or problem
        error = (getattr(cause, "strerror", None) or str(cause)).strip().partition("\n")[0]
    folder = nearest_folder(work)
    usage = shutil.disk_usage(folder)
    kind = file_system(folder) if remote is None else "object store"
    try:
        yield Mark(Disk(shown(work), usage.free, usage.total, error, kind), work, name, None if error else content)
    finally:
        with contextlib.suppress(OSError, PalenkaError):
            if remote is None:
                (work / name).unlink(missing_ok=True)
            elif not error:
                within(STORE_SECONDS, lambda: bucket.delete(name, patience=0.0))


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, as Linux calls it; "" if it is unknown."""
    real = folder.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if real.is_relative_to(mount.mountpoint)]
    return max(reversed(mounts), key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""
