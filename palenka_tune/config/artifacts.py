"""Artifacts: folders that are built once, shared by all runs and complete whenever they exist.

An artifact is named by the fingerprint of everything that shaped it. It is built beside its final place and moved there
in one step with its `manifest.json` written last, so that a folder with a manifest is always complete. In a remote
storage the manifest is uploaded last; each node then copies an artifact once and compares every file with it, and of
processes on several nodes that want the same one, a single one builds it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from palenka_tune.config.files import file_sha256, read_json, share, sync_folder, temporary_folder, write_json
from palenka_tune.errors import PalenkaError
from palenka_tune.storage import file_lock, lease, mirror
from palenka_tune.storage.remote import Remote, StorageError

MANIFEST = "manifest.json"


def build_once(
    folder: str | Path, build: Callable[[Path], dict[str, Any]], *, keep_partial: bool = False
) -> dict[str, Any]:
    """Return the manifest of the artifact `folder`, building it first if it does not exist.

    `build(temporary_folder)` writes the files and returns the manifest, which is written last. Processes that want the
    same artifact wait for the one that builds it. Every file's size and SHA-256 are kept in the manifest under `files`;
    a build that has put files into a remote storage itself returns them there. With `keep_partial` an interrupted build
    leaves its files in `partial_folder(folder)`, where the next finds them.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with file_lock.held(lock_file(folder)), _only_builder(folder):
        if is_complete(folder):
            return open_artifact(folder)
        if keep_partial:
            temporary = partial_folder(folder)
            temporary.mkdir(exist_ok=True)
        else:
            temporary = temporary_folder(folder)
        try:
            manifest = dict(build(temporary))
            for torn in temporary.rglob(".*"):  # of a write that was killed
                torn.unlink()
            published = manifest.get("files", {})
            here = {
                name: entry_of(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file() and (name := path.relative_to(temporary).as_posix()) not in published
            }
            manifest["files"] = {**here, **published}
            _publish(temporary, folder, manifest, here)
            write_json(temporary / MANIFEST, manifest)
            share(temporary)
            if folder.exists():  # left without a manifest by a crash
                shutil.rmtree(folder)
            temporary.replace(folder)
            sync_folder(folder.parent)
        finally:
            if not keep_partial:
                shutil.rmtree(temporary, ignore_errors=True)
        return manifest


@contextlib.contextmanager
def _only_builder(folder: Path) -> Iterator[None]:
    """Be the one process of all nodes that builds `folder`, unless it is complete in the remote storage already."""
    found = mirror.remote_of(folder)
    if found is None or is_complete(folder):
        yield
        return
    with lease.held(found[0], found[1].replace("/", "-")):
        yield


def _publish(temporary: Path, folder: Path, manifest: dict[str, Any], names: Iterable[str]) -> None:
    """Upload the files `names` to a remote storage, the manifest last, and copy here what other nodes made."""
    found = mirror.remote_of(folder)
    if found is None:
        return
    remote, key = found
    mirror.side_by_side(lambda name: remote.upload(temporary / name, f"{key}/{name}"), names)
    remote.write_json(f"{key}/{MANIFEST}", manifest)
    _bring(remote, key, manifest, temporary)


def lock_file(folder: str | Path) -> Path:
    """What a process holds while it builds the artifact `folder`."""
    return Path(folder).parent / f".{Path(folder).name}.lock"


def partial_folder(folder: str | Path) -> Path:
    """Where an interrupted build of the artifact `folder` leaves its files (`build_once(keep_partial=True)`)."""
    return Path(folder).parent / f".{Path(folder).name}.partial"


def is_complete(folder: str | Path) -> bool:
    """Whether the artifact exists here, or in the remote storage, from where it is then copied to this node."""
    folder = Path(folder)
    found = mirror.remote_of(folder)
    if found is None or (folder / MANIFEST).is_file():
        return (folder / MANIFEST).is_file()
    remote, key = found
    manifest = remote.read_json(f"{key}/{MANIFEST}")
    if manifest is None:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with file_lock.held(folder.parent / f".{folder.name}.fetch"):  # one process of a node copies
        if not (folder / MANIFEST).is_file():
            temporary = partial_folder(folder)
            temporary.mkdir(exist_ok=True)
            _bring(remote, key, manifest, temporary)
            write_json(temporary / MANIFEST, manifest)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
    return True


def _bring(remote: Remote, key: str, manifest: dict[str, Any], folder: Path) -> None:
    """Copy the files of an artifact that `folder` has not got; raises `StorageError` if one is not what was written."""

    def bring(name: str) -> None:
        path, expected = folder / name, manifest["files"][name]
        if _is_whole(path, expected):
            return
        remote.download(f"{key}/{name}", path)
        if not _is_whole(path, expected):
            path.unlink(missing_ok=True)
            raise StorageError(
                f"{remote.url}/{key}/{name} is missing or damaged; delete {remote.url}/{key} and run the command again"
            )

    mirror.side_by_side(bring, manifest["files"])


def entry_of(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _is_whole(path: Path, expected: dict[str, Any], *, contents: bool = True) -> bool:
    """Whether a file has the size, and the contents, that its manifest says."""
    if not path.is_file() or path.stat().st_size != expected["bytes"]:
        return False
    return not contents or file_sha256(path) == expected["sha256"]


def manifests(parent: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(folder, manifest) of every complete artifact in `parent`, here or in its remote storage; one whose manifest is
    damaged is left out: opening or building it says so."""
    names = {path.parent.name for path in parent.glob(f"[!.]*/{MANIFEST}")}
    found = mirror.remote_of(parent)
    if found is not None:
        names |= set(found[0].folders(found[1]))  # not every file of every artifact
    for name in sorted(names):
        try:
            if (parent / name / MANIFEST).is_file():
                manifest = read_json(parent / name / MANIFEST)
            else:
                manifest = found and found[0].read_json(f"{found[1]}/{name}/{MANIFEST}")
        except PalenkaError:
            continue
        if manifest is not None:
            yield parent / name, manifest


def open_artifact(folder: str | Path, *, verify: bool = False) -> dict[str, Any]:
    """The manifest of a complete artifact; sizes are always checked, contents too if `verify`."""
    folder = Path(folder)
    is_complete(folder)
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    for name, expected in manifest.get("files", {}).items():
        if not _is_whole(folder / name, expected, contents=verify):
            raise PalenkaError(
                f"{folder / name} is missing or damaged; delete the folder {folder} and run the command again"
            )
    return manifest
