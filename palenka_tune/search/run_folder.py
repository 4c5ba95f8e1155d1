"""The folder of one search and its study: made for a new search, opened again to go on with one.

The study is the ledger. By default it is `optuna.journal` in the folder; `--study-storage` keeps it in PostgreSQL or
MySQL instead. What the search was asked for stands in the study too, so that a resumed search is the same search, and a
damaged `search.yaml` is put back. Only one process at a time works in a folder; the lock goes with its process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from palenka_tune.config.files import file_sha256
from palenka_tune.config.sealed import Slate, unseal
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.search.journal import SealedJournal
from palenka_tune.storage import lease, mirror
from palenka_tune.storage.follow import Follower
from palenka_tune.tracking.store import brief, redact

JOURNAL, SEARCH_YAML = "optuna.journal", "search.yaml"
STUDY_STORAGE = "PALENKA_STUDY_STORAGE"
LOCK, OWNER, IDENTITY = ".lock", ".owner", ".identity"
REPRODUCE = "reproduce.json"  # marks a folder of `reproduce`, which is no search
# what a finished search leaves behind; its digests are kept in the study (which has all of search.yaml itself)
NOT_FOLLOWED = ("checkpoints", "tune", "finalists", JOURNAL, f"{JOURNAL}.lines")  # who writes them uploads them
FETCHED_LATER = ("checkpoints", "tune", "finalists")
OUTPUTS = ("trials.parquet", "summary.json", "evaluation.json", "finalists.parquet", "best")


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


def study_url(given: str | None) -> str | None:
    """Where the study is kept, from the option or the environment; None: in the run folder. Raises `UserError` for a
    password on the command line, where every process of the machine can read it."""
    if given is not None and _holds_a_password(given):
        raise UserError(
            f"--study-storage {redact(given)} was given with a password, which other users of this machine can read; "
            f"put the whole URL into the environment variable {STUDY_STORAGE}, or the password into PGPASSWORD"
        )
    url = given or os.environ.get(STUDY_STORAGE) or None
    if url is not None and url.partition("://")[0].split("+")[0] not in ("postgresql", "mysql", "sqlite"):
        raise UserError(
            f"--study-storage is {redact(url)}; give the URL of a database, such as postgresql://user@host/database or "
            "mysql+pymysql://user@host/database"
        )
    return url


def _holds_a_password(url: str) -> bool:
    """Whether there is a password before the host or in the query, whatever its driver calls it."""
    user, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at and ":" in user) or "pass" in url.partition("?")[2].lower()


def open_study(folder: Path, url: str | None, wait_for_space: Callable[[], None]) -> optuna.Study | None:
    """The study of a search that was begun in `folder`; None if the process died before there was one. Raises
    `UserError` if it is not where it should be, `PalenkaError` if it is damaged."""
    if (folder / REPRODUCE).exists():
        raise UserError(f"--resume: {folder} holds rows of the poster, not a search; give the --name of a search")
    if url is None and not (folder / JOURNAL).exists():
        if (folder / SEARCH_YAML).exists():
            raise UserError(
                f"{folder} holds no {JOURNAL}; if the study is in a database give the --study-storage that the search "
                "was started with, otherwise put the file back"
            )
        return None
    with quietly():
        try:
            study = optuna.load_study(study_name=folder.name, storage=_storage(folder, url, wait_for_space))
        except KeyError:
            if not (folder / SEARCH_YAML).exists():
                return None
            raise UserError(
                f"--resume: {redact(url or JOURNAL)} holds no search called {folder.name}; give the --study-storage "
                "that it was started with"
            ) from None
    own, kept = (Slate(folder / IDENTITY).read() or {}).get("id"), study.user_attrs.get("id")
    if url is not None and own != kept:
        raise UserError(
            f"--resume: the search {folder.name} in {redact(url)} was not started in {folder}; give the --storage and "
            "--study-storage that it was started with"
        )
    return study


def new_study(folder: Path, url: str | None, wait_for_space: Callable[[], None]) -> optuna.Study:
    """An empty study for the search in `folder`; raises `UserError` if the database has one of that name."""
    identity = {"id": uuid.uuid4().hex}
    with quietly():
        try:
            storage = _storage(folder, url, wait_for_space)
            study = optuna.create_study(storage=storage, study_name=folder.name, direction="minimize")
            Slate(folder / IDENTITY).write(identity)
            mirror.publish(folder / IDENTITY)
            study.set_user_attr("id", identity["id"])
            return study
        except optuna.exceptions.DuplicatedStudyError:
            raise UserError(
                f"--name {folder.name} is in use in the study storage {redact(url or '')}; give another name"
            ) from None


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a database raises, once it is away in the middle of a search, into a `PalenkaError`."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise PalenkaError(f"the study storage does not answer ({brief(error)}); go on later with --resume") from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Optuna without its log lines and its warnings about experimental parts."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _storage(folder: Path, url: str | None, wait_for_space: Callable[[], None]) -> BaseStorage:
    if url is None:
        return JournalStorage(SealedJournal(folder / JOURNAL, wait_for_space))
    try:
        return RDBStorage(url)
    except ImportError as error:
        driver = "mysql" if url.startswith("mysql") else "postgres"
        raise UserError(
            f"the study storage {redact(url)} needs a driver that is missing ({error.name or brief(error)}); "
            f"run: pip install 'palenka-tune[{driver}]'"
        ) from None
    except Exception as error:  # whatever a database or its driver raises
        raise PalenkaError(f"the study storage {redact(url)} cannot be opened: {brief(error)}") from None


def close(study: optuna.Study, folder: Path, *, but: Iterable[str] = ()) -> None:
    """Mark the search as finished, with the digests of what it leaves behind, `but` what is being replaced."""
    digests = {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for name in OUTPUTS
        if name not in but
        for path in sorted([folder / name, *(folder / name).rglob("*")])
        if path.is_file()
    }
    study.set_user_attr("finished", digests)


def is_finished(study: optuna.Study, folder: Path) -> bool:
    """Whether the search has ended; raises `PalenkaError` if a file that it left behind is damaged or missing."""
    digests: dict[str, str] | None = study.user_attrs.get("finished")
    for name, digest in (digests or {}).items():
        if name.split("/")[0] not in OUTPUTS:  # pictures, of which older versions kept digests, can be drawn again
            continue
        path = folder / name
        if not path.is_file() or file_sha256(path) != digest:
            raise PalenkaError(
                f"{path} of the finished search {folder.name} is missing or damaged; put back a copy of it, or search "
                "again under another --name"
            )
    return digests is not None
