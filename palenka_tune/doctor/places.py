"""The storage as the driver sees it, and the mark that it leaves there for the nodes to find.

A storage is a folder that all nodes share, or a bucket of which each node keeps a copy in its scratch folder; this is
the one place that tells them apart. `probe.examine` looks for the mark from each node.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.doctor import probe
from palenka_tune.doctor.facts import Disk
from palenka_tune.doctor.limits import within
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
def storage_probe(storage: str) -> Iterator[Mark]:
    """Write a file into the storage, which is made if it is a folder; it is removed at the end. Raises `UserError` for
    a URL that cannot work."""
    work = working_folder(storage)
    found = remote_of(work)
    name, content = f".doctor-{secrets.token_hex(8)}", secrets.token_hex(16)
    error = None
    try:
        work.mkdir(parents=True, exist_ok=True)
        if found is None:
            (work / name).write_text(content, encoding="utf-8")
        else:
            remote = found[0]
            within(STORE_SECONDS, lambda: remote.write(name, content.encode(), patience=0.0))
    except (PalenkaError, OSError) as problem:
        cause = problem.__cause__ or problem
        error = (getattr(cause, "strerror", None) or str(cause)).strip().partition("\n")[0]
    there = work
    while not there.is_dir():
        there = there.parent
    usage = shutil.disk_usage(there)
    kind = probe.file_system(there) if found is None else "object store"
    try:
        yield Mark(Disk(shown(work), usage.free, usage.total, error, kind), work, name, None if error else content)
    finally:
        with contextlib.suppress(OSError, PalenkaError):
            if found is None:
                (work / name).unlink(missing_ok=True)
            elif not error:
                within(STORE_SECONDS, lambda: remote.delete(name, patience=0.0))
