"""The storage as the driver sees it, and the mark that it leaves there for the nodes to find.

`storage_probe` is the one place that knows what a storage is; `probe.examine` looks for the mark from each node.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from palenka_tune.config.files import check_writable
from palenka_tune.doctor import probe
from palenka_tune.doctor.facts import Disk
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.storage.mirror import remote_of, working_folder


@dataclass(frozen=True)
class Mark:
    """The storage as the driver sees it; the file `name` in it holds `content` (no content: it cannot be written)."""

    storage: Disk
    name: str
    content: str | None


@contextlib.contextmanager
def storage_probe(storage: str) -> Iterator[Mark]:
    """Write a file into the storage, whose folder is made if needed; it is removed at the end. Of a remote storage the
    disk is that of the copy on the node, and the mark's name is its whole URL."""
    folder = working_folder(storage)
    name, content = f".doctor-{secrets.token_hex(8)}", secrets.token_hex(16)
    found = remote_of(folder)
    error = None
    try:
        check_writable(storage)
        if found is None:
            (folder / name).write_text(content, encoding="utf-8")
        else:
            found[0].write(name, content.encode(), patience=0.0)
    except (PalenkaError, OSError) as problem:
        cause = problem.__context__ if isinstance(problem, UserError) else problem
        error = getattr(cause, "strerror", None) or str(problem)
    there = folder
    while not there.is_dir():
        there = there.parent
    usage = shutil.disk_usage(there)
    disk = Disk(str(folder), usage.free, usage.total, error, probe.file_system(there))
    try:
        yield Mark(disk, name if found is None else f"{found[0].url}/{name}", None if error else content)
    finally:
        with contextlib.suppress(OSError, PalenkaError):
            if found is None:
                (folder / name).unlink(missing_ok=True)
            elif error is None:
                found[0].delete(name, patience=0.0)
