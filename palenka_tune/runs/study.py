"""The study of a search: where it is kept, made new, opened to search on, or read without changing a byte."""

from __future__ import annotations

import contextlib
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from palenka_tune.config.files import file_sha256
from palenka_tune.config.sealed import Slate
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.runs.journal import SealedJournal
from palenka_tune.runs.run_folder import BEST, IDENTITY, JOURNAL, REPRODUCE, SEARCH_YAML
from palenka_tune.runs.summary import EVALUATION, SUMMARY
from palenka_tune.runs.tables import FINALISTS, TRIALS
from palenka_tune.storage import mirror
from palenka_tune.tracking.store import brief, make_database, redact

STUDY_STORAGE = "PALENKA_STUDY_STORAGE"
OUTPUTS = (TRIALS, SUMMARY, EVALUATION, FINALISTS, BEST)
FINALISTS_DONE = "finalists"  # attribute of the study: the fresh seeds that its finalists have had


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


def check_driver(url: str) -> None:
    """Raise `UserError` if no driver here opens the database; nothing is connected."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(url).get_dialect().import_dbapi()
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise UserError(
            f"--study-storage {redact(url)} is no address of a database ({brief(error)}); write it as "
            "postgresql://user@host/database or mysql+pymysql://user@host/database"
        ) from None
    except ImportError as error:
        extra = "mysql" if url.startswith("mysql") else "postgres"
        raise UserError(
            f"the study storage {redact(url)} needs a driver that is missing ({error.name or brief(error)}); "
            f"run: pip install 'palenka-tune[{extra}]'"
        ) from None


def _holds_a_password(url: str) -> bool:
    """Whether there is a password before the host or in the query, where drivers name it in several ways."""
    user, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at and ":" in user) or "pass" in url.partition("?")[2].lower()


def open_study(
    folder: Path, url: str | None, wait_for_space: Callable[[], None] | None = None, *, read_only: bool = False
) -> optuna.Study | None:
    """The study of the search in `folder`, kept in its journal or in the database `url`; None if the search has not
    made one yet, or died before.

    With `read_only` another process may be writing it: nothing is locked or changed, and the study refuses to write.
    `wait_for_space` is the `SealedJournal`'s. Raises `UserError` if the study is not where it should be, `PalenkaError`
    if it is damaged or the database does not answer.
    """
    if (folder / REPRODUCE).exists():
        raise UserError(f"{folder} holds rows of the poster, not a search; give the --name of a search")
    begun = (folder / SEARCH_YAML).exists()
    if url is None and not (folder / JOURNAL).exists():
        if begun:
            raise UserError(
                f"{folder} holds no {JOURNAL}; if the study is in a database give the --study-storage that the search "
                "was started with, otherwise put the file back"
            )
        return None
    with quietly(), reading(url):
        storage = _storage(folder, url, wait_for_space, read_only=read_only)
        try:
            study = optuna.load_study(study_name=folder.name, storage=storage)
        except KeyError:
            if (damage := _damage(storage)) is not None:
                raise PalenkaError(f"{damage}; put back a copy of it") from None
            if not begun:
                return None
            raise UserError(
                f"{redact(url or str(folder / JOURNAL))} holds no search called {folder.name}; give the "
                "--study-storage that it was started with"
            ) from None
    identity = (Slate(folder / IDENTITY).read() or {}).get("id")
    if url is not None and identity != study.user_attrs.get("id"):
        raise UserError(
            f"the search {folder.name} in {redact(url)} was not started in {folder}; give the --storage and "
            "--study-storage that it was started with"
        )
    return study


def damage_of(study: optuna.Study) -> str | None:
    """Where the journal of a study that was opened `read_only` is damaged, as far as it was read; None if it is not."""
    return _damage(study._storage)


def _damage(storage: BaseStorage) -> str | None:
    return getattr(getattr(storage, "_backend", None), "damage", None)


def new_study(folder: Path, url: str | None, wait_for_space: Callable[[], None] | None = None) -> optuna.Study:
    """An empty study for the search in `folder`; raises `UserError` if the database has one of that name."""
    with quietly(), reading(url):
        try:
            make_database(url or "")
            storage = _storage(folder, url, wait_for_space)
            study = optuna.create_study(storage=storage, study_name=folder.name, direction="minimize")
        except optuna.exceptions.DuplicatedStudyError:
            raise UserError(
                f"--name {folder.name} is in use in the study storage {redact(url or '')}; give another name"
            ) from None
    identity = uuid.uuid4().hex
    Slate(folder / IDENTITY).write({"id": identity})
    mirror.publish(folder / IDENTITY)
    study.set_user_attr("id", identity)
    return study


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a database raises, once it is away in the middle of a search, into a `PalenkaError`."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise PalenkaError(
            f"the study storage does not answer ({brief(error)}); continue later with --resume"
        ) from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Optuna without its log lines and its warnings about experimental parts."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _storage(
    folder: Path, url: str | None, wait_for_space: Callable[[], None] | None, *, read_only: bool = False
) -> BaseStorage:
    if url is None:
        return JournalStorage(SealedJournal(folder / JOURNAL, wait_for_space, read_only=read_only))
    address, arguments = _refusing_to_write(url) if read_only else (url, {})
    check_driver(url)
    return RDBStorage(address, engine_kwargs={"connect_args": arguments}, skip_table_creation=read_only)


def _refusing_to_write(url: str) -> tuple[str, dict[str, Any]]:
    """The URL and the arguments with which the driver opens a session that refuses to write."""
    kind = url.partition("://")[0].split("+")[0]
    if kind == "postgresql":
        return url, {"options": "-c default_transaction_read_only=on"}
    if kind == "mysql":
        return url, {"init_command": "SET SESSION TRANSACTION READ ONLY"}
    from sqlalchemy import make_url

    address = make_url(url)
    path = address.database or ""
    if not path.startswith("file:"):
        address = address.set(database=f"file:{quote(path)}")
    return address.update_query_dict({"mode": "ro", "uri": "true"}).render_as_string(hide_password=False), {}


def mark_finished(study: optuna.Study, folder: Path, *, but: Iterable[str] = ()) -> None:
    """Mark the search as finished, with the digests of what it leaves behind, `but` what is being replaced."""
    digests = {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for name in OUTPUTS
        if name not in but
        for path in sorted([folder / name, *(folder / name).rglob("*")])
        if path.is_file()
    }
    study.set_user_attr("finished", digests)


def reopen(study: optuna.Study) -> None:
    """Take the mark of a finished search away: more of it is asked for, and its verdict is given anew."""
    study.set_user_attr("finished", None)
    study.set_user_attr(FINALISTS_DONE, {})


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


def mark_finalists(study: optuna.Study, seeds: int) -> None:
    """Note that the finalists are trained with that many fresh seeds."""
    study.set_user_attr(FINALISTS_DONE, {"seeds": seeds})


def finalists_missing(attrs: Mapping[str, Any], seeds: int) -> bool:
    """Whether `seeds` fresh seeds are asked for that the study with these attributes has not had yet."""
    return bool(seeds) and attrs.get(FINALISTS_DONE, {}).get("seeds") != seeds


@contextlib.contextmanager
def reading(url: str | None) -> Iterator[None]:
    """Turn what a database or its driver raises into a `PalenkaError` without its password."""
    try:
        yield
    except PalenkaError:
        raise
    except Exception as error:
        if url is None:
            raise
        # Optuna wraps a database's error in words of its own
        raise PalenkaError(
            f"the study storage {redact(url)} cannot be used: {brief(error.__cause__ or error)}"
        ) from None
