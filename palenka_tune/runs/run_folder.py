"""The folder of one search: made for a new search, found and locked to resume or to look at one.

By default the study is `optuna.journal` in the folder. Only one process at a time works in a folder; the lock ends with
its process.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path

from palenka_tune.config.files import is_path
from palenka_tune.config.sealed import Slate, unseal
from palenka_tune.errors import UserError, nearest
from palenka_tune.models import folder as model_folder
from palenka_tune.storage import file_lock, lease, mirror
from palenka_tune.storage.follow import Follower

JOURNAL, SEARCH_YAML = "optuna.journal", model_folder.SEARCH_YAML
LOCK, OWNER, IDENTITY = ".lock", ".owner", ".identity"
REPRODUCE = "reproduce.json"  # marks a folder of `reproduce`, which is no search
CHECKPOINTS, TUNE, FINALISTS, BEST = "checkpoints", "tune", "finalists", model_folder.BEST  # folders in the run's
LONGEST_BEGINNING = 80  # characters, with which a run's name has room for the time
FETCHED_LATER = (CHECKPOINTS, TUNE, FINALISTS)
NOT_FOLLOWED = (*FETCHED_LATER, JOURNAL, f"{JOURNAL}.lines")  # uploaded by what writes them


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process, on all nodes that share its storage; raises `UserError` if another process
    holds it. A dead process holds nothing."""
    owner, remote = Slate(folder / OWNER), mirror.remote_of(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock.held(folder / LOCK, timeout=0.0))
            if remote is not None:
                stack.enter_context(lease.held(remote[0], remote[1].replace("/", "-"), wait=False))
        except file_lock.FileHeldError as error:
            last = owner.read() or {"pid": "?", "host": "?"}
            raise _in_use(folder, f"process {last['pid']} on {last['host']}", f"; {error.remedy}") from None
        except lease.HeldError as error:
            raise _in_use(folder, error.holder) from None
        _catch_up(folder)
        owner.write({"pid": os.getpid(), "host": socket.gethostname(), "id": uuid.uuid4().hex})
        mirror.publish(owner.path)
        stack.enter_context(Follower(folder, NOT_FOLLOWED))
        yield


def _in_use(folder: Path, holder: str, remedy: str = "") -> UserError:
    return UserError(f"--name {folder.name} is being searched by {holder}; wait for it, or give another name{remedy}")


def _catch_up(folder: Path) -> None:
    """Copy here what another node did in the run since; this node's own files are at least as new as the storage."""
    last = mirror.read(folder / OWNER)
    if mirror.remote_of(folder) is not None and last is not None:
        here = Slate(folder / OWNER).read()
        if here is None or here != unseal(last.strip()):
            mirror.fetch_folder(folder, but=FETCHED_LATER)


def begun(folder: Path) -> bool:
    """Whether a search has that folder, here or in the remote storage."""
    return folder.is_dir() or mirror.exists(folder / OWNER)


def check_new(folder: Path) -> None:
    """Refuse a name that is in use, and say how to resume the search that has it."""
    if folder.exists() or begun(folder):
        raise UserError(
            f"--name {folder.name} is in use ({mirror.shown(folder)} exists); add --resume to continue that search, "
            "give another name or delete the folder"
        )


def make(folder: Path) -> None:
    """Make the folder of a new search; raises `UserError` if another process was faster."""
    try:
        folder.mkdir()
    except FileExistsError:
        check_new(folder)


def find_run(run: str | None, storage: Path | None) -> Path:
    """The folder of a run given by its name in `storage` or by its path; None: the run that was worked in last.

    Raises `UserError` if there is none.
    """
    if run is not None and (folder := Path(run).expanduser()).is_dir() and (storage is None or is_path(run)):
        found = folder.absolute()
    elif storage is None or not (storage.is_dir() or mirror.remote_of(storage)):
        raise UserError(f"there is no folder {run or storage}; give --storage, where the searches are kept")
    elif run is None:
        times = _worked_in(storage)
        searches = [name for name in times if not mirror.exists(storage / name / REPRODUCE)]
        if not searches:
            raise UserError(f"there is no search in {mirror.shown(storage)}; give the --storage of the searches")
        found = (storage / max(searches, key=times.__getitem__)).absolute()
    else:
        found = (storage / run).absolute()
        if not begun(found):
            raise UserError(f"there is no search '{run}' in {mirror.shown(storage)}{nearest(run, _worked_in(storage))}")
    if mirror.exists(found / REPRODUCE):
        raise UserError(f"{found} holds rows of the poster, not a search; give the name of a search")
    if not any(mirror.exists(found / name) for name in (OWNER, JOURNAL, SEARCH_YAML)):
        raise UserError(f"{found} is not the folder of a search; give one, or --storage and a search's name")
    return found


def _worked_in(storage: Path) -> dict[str, int]:
    """{run: when a process began to work in it, in ns} of all runs in `storage`."""
    remote = mirror.remote_of(storage)
    if remote is None:
        return {path.parent.name: path.stat().st_mtime_ns for path in storage.glob(f"*/{OWNER}")}
    stamps = {name: remote[0].stamp(f"{name}/{OWNER}") for name in remote[0].folders()}
    return {name: stamp[1] for name, stamp in stamps.items() if stamp is not None}


def name_from(text: str) -> str:
    """The beginning of a run's name from any text, such as a file's name: what a name cannot have becomes a dash, and
    accents go; `search` if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:LONGEST_BEGINNING].rstrip("-._") or "search"


def check_name(name: str) -> str:
    """A run's name as a folder's: letters, digits, dot, dash, underscore; it cannot leave the storage folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) or name in ("artifacts", "mlartifacts", "mlflow.db"):
        raise UserError(
            f"--name {name!r} cannot be a run's name; use letters, digits, '.', '-' and '_', beginning with a letter "
            "or digit (and not 'artifacts', 'mlartifacts' or 'mlflow.db')"
        )
    return name
