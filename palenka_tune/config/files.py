"""Files that are never half written, read back with a sentence where they are damaged, and the digests of both."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.storage import mirror

POINTER = b"version https://git-lfs.github.com/spec"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write to; on success it is synced and renamed to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # some writers put a private file of their own in its place
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_folder(path: Path) -> Path:
    """Make an empty folder beside `path`, to be filled, shared with `share` and renamed to it."""
    temporary = _beside(path)
    temporary.mkdir()
    return temporary


def _beside(path: Path) -> Path:
    """A new hidden name. Nothing here is made by `tempfile`, whose files are their owner's alone whatever the umask."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


def share(folder: Path) -> None:
    """Give `folder` and all in it the permissions that the umask gives to what is made here: safetensors writes files
    that only their owner can read, and copies have the permissions of what was copied."""
    probe = temporary_folder(folder)
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.rmdir()
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(mode if path.is_dir() else mode & 0o666)


def sync_folder(folder: Path) -> None:
    """Write the folder's entries through, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(handle)
    finally:
        os.close(handle)


def is_path(text: str) -> bool:
    """Whether a name that a person gave is written as a path: with a separator, or as `.` or `~`."""
    return "/" in text or text.startswith((".", "~"))


def no_room(error: BaseException) -> bool:
    """Whether a write failed because the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; a torn or missing file raises `PalenkaError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PalenkaError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PalenkaError(f"{path} is damaged ({error}); delete it and run the command again") from None


def read_model_json(path: str | Path) -> Any:
    """Read a JSON file of a model that somebody gives; raises `UserError` if it is not there, or is something else."""
    check_no_pointer(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a Hugging Face model folder") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); copy it again, or save the model again") from None


def check_no_pointer(path: str | Path) -> None:
    """Raise `UserError` if a file is a pointer of Git LFS, as a checkout without LFS has in place of a large file."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise UserError(f"{path} is a Git LFS pointer and not the file itself; run git lfs pull in its folder")


def fingerprint(value: Any) -> str:
    """16 hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(folder: str | Path) -> str:
    """16 hex digits over the contents of a model folder's configuration and weights."""
    paths = (Path(folder) / "config.json", *sorted(Path(folder).glob("*.safetensors")))
    return _digest(tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@functools.lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """The digest of files as they are at that time and of that size: gigabytes are read once a process."""
    return fingerprint({Path(path).name: file_sha256(path) for path, _, _ in files})


def check_writable(storage: str | Path) -> Path:
    """The local folder of a storage, created if needed: the folder itself, or this node's copy of a remote one. Raises
    `UserError` if nothing can be written there."""
    folder = mirror.working_folder(storage)
    found = mirror.remote_of(folder)
    if found is not None:
        found[0].check()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        where = f"--storage {storage}" if found is None else f"the scratch folder {folder} ({mirror.SCRATCH})"
        raise UserError(
            f"{where} is not writable ({error.strerror or error}); give a folder that you may write to"
        ) from None
    return folder
