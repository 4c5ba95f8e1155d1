"""The copy of a remote storage on this node: the same paths below a scratch folder, kept in step file by file.

All work is done in a local folder. With `--storage s3://bucket/folder` that folder is
`$PALENKA_SCRATCH/s3=3A=2F=2Fbucket=2Ffolder`, whose name says where it belongs, so that a path alone tells any process
on any node what to publish and where to fetch it. Every function here does nothing for a path that is in no mirror.
The scratch folder must be the same path on all nodes (on a cluster: a local disk).
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

from palenka_tune.storage.remote import Remote

DEFAULT_STORAGE = "./palenka_runs"
T = TypeVar("T")
SCRATCH = "PALENKA_SCRATCH"
TRANSFERS = 8  # files in flight at a time
# `=` instead of `%`, which libraries decode when they meet it in a URL
_MIRROR = re.compile(r"(s3|gs|file)=3A=2F=2F.+")


def working_folder(storage: str | Path) -> Path:
    """The local folder of `storage`: itself, or the mirror of a URL. Raises `UserError` for a URL that cannot work."""
    if "://" not in str(storage):
        return Path(storage).expanduser().absolute()
    return scratch() / quote(Remote.parse(str(storage)).url, safe="").replace("%", "=")


def scratch() -> Path:
    """Where mirrors are: `PALENKA_SCRATCH`, or a folder of the user's in the machine's temporary one."""
    given = os.environ.get(SCRATCH)
    return Path(given).expanduser().absolute() if given else _own()


@lru_cache(maxsize=1)
def _own() -> Path:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in a container
        user = str(os.getuid())
    folder = Path(tempfile.gettempdir()) / f"palenka_tune-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@lru_cache(maxsize=4096)
def _split(path: str) -> tuple[Remote, str] | None:
    parts = Path(path).parts
    for number, part in enumerate(parts):
        if _MIRROR.fullmatch(part):
            return Remote(unquote(part.replace("=", "%"))), "/".join(parts[number + 1 :])
    return None


def remote_of(path: str | Path) -> tuple[Remote, str] | None:
    """The remote storage that `path` mirrors and its key there; None for a path that is in no mirror."""
    return _split(str(path))


def shown(path: str | Path) -> str:
    """`path` as a person knows it: a mirror's by its URL."""
    found = remote_of(path)
    return str(path) if found is None else f"{found[0].url}/{found[1]}".rstrip("/")


def side_by_side(transfer: Callable[[T], object], items: Iterable[T]) -> None:
    """Run `transfer` for all items, several at a time; raises what one of them raised."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        list(pool.map(transfer, items))


def publish(path: Path) -> None:
    """Upload a file, or all files of a folder."""
    found = remote_of(path)
    if found is None:
        return
    remote, key = found
    if not path.is_dir():
        remote.upload(path, key)
        return
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    side_by_side(lambda file: remote.upload(file, f"{key}/{file.relative_to(path).as_posix()}"), files)


def fetch(path: Path) -> bool:
    """Copy the remote file, if there is one, into the mirror; returns whether `path` exists now."""
    found = remote_of(path)
    if found is not None:
        found[0].download(found[1], path)
    return path.exists()


def fetch_folder(path: Path, *, but: tuple[str, ...] = ()) -> None:
    """Copy all remote files of a folder into the mirror, except those below its entries `but`."""
    found = remote_of(path)
    if found is None:
        return
    remote, key = found
    names = [name.removeprefix(f"{key}/") for name in remote.keys(key)]
    wanted = [name for name in names if name.partition("/")[0] not in but]
    side_by_side(lambda name: remote.download(f"{key}/{name}", path / name), wanted)


def read(path: Path) -> bytes | None:
    """The file's contents now, on whichever node it is written; None if there is none. The mirror is left as it is."""
    found = remote_of(path)
    if found is not None:
        return found[0].read(found[1])
    return path.read_bytes() if path.exists() else None


def exists(path: Path) -> bool:
    """Whether the file is in the mirror or in the storage."""
    found = remote_of(path)
    return path.exists() or (found is not None and found[0].stamp(found[1]) is not None)


def forget(path: Path) -> None:
    """Delete a file, here and in the storage."""
    path.unlink(missing_ok=True)
    found = remote_of(path)
    if found is not None:
        found[0].delete(found[1])


def forget_folder(path: Path) -> None:
    """Delete a folder, here and in the storage."""
    shutil.rmtree(path, ignore_errors=True)
    found = remote_of(path)
    if found is not None:
        found[0].delete_folder(found[1])
