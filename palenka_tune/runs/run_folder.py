"""The folder of one search and its study: made for a new search, opened again to go on with one.

The study is the ledger. By default it is `optuna.journal` in the folder; `--study-storage` keeps it in PostgreSQL or
MySQL instead. What the search was asked for stands in the study too, so that a resumed search is the same search, and a
damaged `search.yaml` is put back. Only one process at a time works in a folder; the lock goes with its process.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from palenka_tune.config.files import is_path
from palenka_tune.config.sealed import Slate, unseal
from palenka_tune.errors import UserError, nearest
from palenka_tune.storage import lease, mirror
from palenka_tune.storage.follow import Follower

JOURNAL, SEARCH_YAML = "optuna.journal", "search.yaml"
LOCK, OWNER, IDENTITY = ".lock", ".owner", ".identity"
REPRODUCE = "reproduce.json"  # marks a folder of `reproduce`, which is no search
# what a finished search leaves behind; its digests are kept in the study (which has all of search.yaml itself)
NOT_FOLLOWED = ("checkpoints", "tune", "finalists", JOURNAL, f"{JOURNAL}.lines")  # who writes them uploads them
FETCHED_LATER = ("checkpoints", "tune", "finalists")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; raises `UserError` if another one works in it. A dead process holds nothing."""
    owner = Slate(folder / OWNER)
    try:
        lock = FileLock(str(folder / LOCK), timeout=0)
        lock.acquire()
    except Timeout:
        known = owner.read() or {"pid": "?", "host": "?"}
        raise _in_use(folder, f"process {known['pid']} on {known['host']}") from None
    try:
        with _held_everywhere(folder):
            _catch_up(folder)
            owner.write({"pid": os.getpid(), "host": socket.gethostname(), "id": uuid.uuid4().hex})
            mirror.publish(owner.path)
            with Follower(folder, NOT_FOLLOWED):
                yield
    finally:
        lock.release()


def _in_use(folder: Path, holder: str) -> UserError:
    return UserError(f"--name {folder.name} is being searched by {holder}; wait for it, or give another name")


@contextlib.contextmanager
def _held_everywhere(folder: Path) -> Iterator[None]:
    """Hold the folder against processes of other nodes, which see it in a remote storage."""
    found = mirror.remote_of(folder)
    if found is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lease.held(found[0], found[1].replace("/", "-"), wait=False))
        except lease.HeldError as error:
            raise _in_use(folder, error.holder) from None
        yield


def _catch_up(folder: Path) -> None:
    """Bring a run here that another node has worked in; this node's own copy is at least as new as the storage."""
    last = mirror.read(folder / OWNER)
    if mirror.remote_of(folder) is not None and last is not None:
        here = Slate(folder / OWNER).read()
        if here is None or here != unseal(last.strip()):
            mirror.fetch_folder(folder, but=FETCHED_LATER)


def begun(folder: Path) -> bool:
    """Whether a search has that folder, here or in the remote storage."""
    return folder.is_dir() or mirror.exists(folder / OWNER)


def check_new(folder: Path) -> None:
    """Refuse a name that is in use, and say how to go on with the search that has it."""
    if folder.exists() or begun(folder):
        raise UserError(
            f"--name {folder.name} is in use ({mirror.shown(folder)} exists); add --resume to go on with that search, "
            "give another name or delete the folder"
        )


def make(folder: Path) -> None:
    """Make the folder of a new search; raises `UserError` if another process was faster."""
    try:
        folder.mkdir()
    except FileExistsError:
        check_new(folder)


def latest(storage: Path) -> Path:
    """The run folder that was worked in last; raises `UserError` if there is none."""
    times = {path.parent.name: path.stat().st_mtime_ns for path in storage.glob(f"*/{OWNER}")}
    found = mirror.remote_of(storage)
    if found is not None:
        folders = found[0].folders()
        stamps = {name: found[0].stamp(f"{name}/{OWNER}") for name in folders}
        times = {name: stamp[1] for name, stamp in stamps.items() if stamp is not None}
    names = [name for name in times if not mirror.exists(storage / name / REPRODUCE)]
    if not names:
        raise UserError(
            f"--resume: there is no search in {mirror.shown(storage)}; give --storage and --name of the one to go on "
            "with"
        )
    return storage / max(names, key=times.__getitem__)


def find_run(run: str | None, storage: Path | None) -> Path:
    """The folder of a run given by its name in `storage`, by its path, or as nothing: the one worked in last.

    Raises `UserError` if there is none.
    """
    if run is not None and (folder := Path(run).expanduser()).is_dir() and (storage is None or is_path(run)):
        found = folder.absolute()
    elif storage is None or not storage.is_dir():
        raise UserError(f"there is no folder {run or storage}; give --storage, where the searches are kept")
    else:
        runs = {path.parent.name: path.stat().st_mtime for path in storage.glob(f"*/{OWNER}")}
        if run is None:
            runs = {name: at for name, at in runs.items() if not (storage / name / REPRODUCE).exists()}
            if not runs:
                raise UserError(f"there is no search in {storage}; give --storage, where the searches are kept")
            run = max(runs, key=lambda name: runs[name])
        elif not (storage / run).is_dir():
            raise UserError(f"there is no search '{run}' in {storage}{nearest(run, runs)}")
        found = (storage / run).absolute()
    if (found / REPRODUCE).exists():
        raise UserError(f"{found} holds rows of the poster, not a search; give the name of a search")
    if not any((found / name).exists() for name in (OWNER, JOURNAL, "search.yaml")):
        raise UserError(f"{found} is not the folder of a search; give one, or --storage and a search's name")
    return found


def check_name(name: str) -> str:
    """A run's name as a folder's: letters, digits, dot, dash, underscore; it cannot leave the storage folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name in ("artifacts", "mlartifacts", "mlflow.db"):
        raise UserError(
            f"--name {name!r} cannot be a run's name; use letters, digits, '.', '-' and '_', beginning with a letter "
            "or digit (and not 'artifacts', 'mlartifacts' or 'mlflow.db')"
        )
    return name
