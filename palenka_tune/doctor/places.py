"""The storage as the driver sees it, and the mark that it leaves there for the nodes to find.

`storage_probe` is the one place that knows what a storage is; `probe.examine` looks for the mark from each node.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.config.files import check_writable
from palenka_tune.doctor import probe
from palenka_tune.doctor.facts import Disk
from palenka_tune.errors import UserError


@dataclass(frozen=True)
class Mark:
    """The storage as the driver sees it; the file `name` in it holds `content` (no content: it cannot be written)."""

    storage: Disk
    name: str
    content: str | None


@contextlib.contextmanager
def storage_probe(storage: str) -> Iterator[Mark]:
    """Write a file into the storage folder, which is made if needed; it is removed at the end."""
    if "://" in storage:
        raise UserError(f"--storage is {storage}, which is an address; give a folder that every node sees")
    folder = Path(storage).expanduser().absolute()
    name, content = f".doctor-{secrets.token_hex(8)}", secrets.token_hex(16)
    error = None
    try:
        check_writable(folder)
        (folder / name).write_text(content, encoding="utf-8")
    except (UserError, OSError) as problem:
        cause = problem.__context__ if isinstance(problem, UserError) else problem
        error = getattr(cause, "strerror", None) or str(problem)
    there = folder
    while not there.is_dir():
        there = there.parent
    usage = shutil.disk_usage(there)
    disk = Disk(str(folder), usage.free, usage.total, error, probe.file_system(there))
    try:
        yield Mark(disk, name, None if error else content)
    finally:
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)
