"""Files that are never half written, and artifacts that are built once.

An artifact is a folder named by the fingerprint of everything that shaped it. It is built beside its final place and
moved there in one step with its `manifest.json` written last, so that a folder with a manifest is always complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from palenka_tune.errors import PalenkaError, UserError

MANIFEST = "manifest.json"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write to; on success it is synced and renamed to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write the folder's entries through, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some file systems cannot sync a folder
        pass
    finally:
        os.close(handle)


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


def fingerprint(value: Any) -> str:
    """16 hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build_once(
    folder: str | Path, build: Callable[[Path], dict[str, Any]], *, keep_partial: bool = False
) -> dict[str, Any]:
    """Return the manifest of the artifact `folder`, building it first if it is not there.

    `build(temporary_folder)` writes the files and returns the manifest, which is written last. Processes that want the
    same artifact wait for the one that builds it. Every file's size and SHA-256 are kept in the manifest under `files`.
    With `keep_partial` an interrupted build leaves its files in `partial_folder(folder)`, where the next finds them.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder.parent / f".{folder.name}.lock")):
        if (folder / MANIFEST).exists():
            return open_artifact(folder)
        if keep_partial:
            temporary = partial_folder(folder)
            temporary.mkdir(exist_ok=True)
        else:
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            manifest = dict(build(temporary))
            for torn in temporary.rglob(".*"):  # of a write that was killed
                torn.unlink()
            manifest["files"] = {
                str(path.relative_to(temporary)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            write_json(temporary / MANIFEST, manifest)
            temporary.chmod(0o755)
            if folder.exists():  # left without a manifest by a crash
                shutil.rmtree(folder)
            temporary.replace(folder)
            _sync_folder(folder.parent)
        finally:
            if not keep_partial:
                shutil.rmtree(temporary, ignore_errors=True)
        return manifest


def partial_folder(folder: str | Path) -> Path:
    """Where an interrupted build of the artifact `folder` keeps what it has (`build_once(keep_partial=True)`)."""
    return Path(folder).parent / f".{Path(folder).name}.partial"


def open_artifact(folder: str | Path, *, verify: bool = False) -> dict[str, Any]:
    """The manifest of a complete artifact; sizes are always checked, contents too if `verify`."""
    folder = Path(folder)
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    for name, expected in manifest.get("files", {}).items():
        path = folder / name
        good = path.is_file() and path.stat().st_size == expected["bytes"]
        if good and verify:
            good = file_sha256(path) == expected["sha256"]
        if not good:
            raise PalenkaError(f"{path} is missing or damaged; delete the folder {folder} and run the command again")
    return manifest


def check_writable(storage: str | Path) -> Path:
    """The absolute storage folder, created if needed; raises `UserError` if nothing can be written there."""
    folder = Path(storage).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"--storage {storage} is not writable ({error.strerror or error}); give a folder that you may write to"
        ) from None
    return folder
