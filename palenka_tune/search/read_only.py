"""The study of a search as it stands, read without a lock and without changing a byte.

Opening a study to search in it repairs what a crash tore, and a database gets its tables. Somebody who only wants to
see a search, from whichever machine, must do neither: here the journal is parsed as far as it is whole, and a database
is asked in transactions that cannot write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend

from palenka_tune.config.sealed import Slate, crc_of, unseal
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.search.run_folder import IDENTITY, JOURNAL, SEARCH_YAML, quietly
from palenka_tune.tracking.store import brief, redact


class JournalReader(BaseJournalBackend):
    """The operations of the sealed journal at `path`, which another process may be writing: each read takes in what was
    added. A last line without its end is still being written, or was torn, and is left alone; `damage` says in words
    where another line is not whole, and nothing after it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: str | None = None
        self._count = Slate(path.with_name(f"{path.name}.lines"))
        self._logs: list[dict[str, Any]] = []
        self._end, self._crc = 0, 0

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The operations from number `log_number_from` on."""
        known = self._count.read()  # before the lines, of which there are only ever more
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                record = unseal(line[:-1], self._crc)
                if record is None:
                    self.damage = f"{self.path} is damaged at line {len(self._logs) + 1}; what follows is not shown"
                    break
                self._logs.append(record)
                self._end, self._crc = self._end + len(line), crc_of(line[:-1])
        if known and self.damage is None and len(self._logs) < int(known["lines"]):
            self.damage = f"{self.path} has {len(self._logs)} of its {known['lines']} lines"
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Nobody writes here."""
        raise PalenkaError(f"{self.path} was opened to be read only")


def read_study(folder: Path, url: str | None) -> tuple[optuna.Study | None, JournalReader | None]:
    """The study of the search in `folder`, and the reader of its journal if it is kept in one; no study if the process
    died, or has not come, before there was one.

    Raises `UserError` if the study is not where it should be, `PalenkaError` if a database does not answer.
    """
    if url is None:
        if not (folder / JOURNAL).exists():
            if (folder / SEARCH_YAML).exists():
                raise UserError(
                    f"{folder} holds no {JOURNAL}: the study of this search is in a database; give the --study-storage "
                    "that it was started with"
                )
            return None, None
        reader = JournalReader(folder / JOURNAL)
        with quietly():
            return _load(folder.name, JournalStorage(reader)), reader
    with quietly(), reading(url):
        study = _load(folder.name, _database(url))
    own = (Slate(folder / IDENTITY).read() or {}).get("id")
    if study is None or own != study.user_attrs.get("id"):
        raise UserError(
            f"{redact(url)} holds no search {folder.name} that was started in {folder}; give the --storage and "
            "--study-storage that it was started with"
        )
    return study, None


@contextlib.contextmanager
def reading(url: str | None) -> Iterator[None]:
    """Turn whatever a database or its driver raises into a `PalenkaError` without its password."""
    try:
        yield
    except PalenkaError:
        raise
    except Exception as error:
        if url is None:
            raise
        # Optuna wraps what a database says in words of its own
        raise PalenkaError(
            f"the study storage {redact(url)} cannot be read: {brief(error.__cause__ or error)}"
        ) from None


def _load(name: str, storage: BaseStorage) -> optuna.Study | None:
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None


def _database(url: str) -> RDBStorage:
    """The storage behind `url`, in a session that refuses to write."""
    kind = url.partition("://")[0].split("+")[0]
    arguments: dict[str, Any] = {}
    if kind == "postgresql":
        arguments = {"options": "-c default_transaction_read_only=on"}
    elif kind == "mysql":
        arguments = {"init_command": "SET SESSION TRANSACTION READ ONLY"}
    elif kind == "sqlite":
        scheme, _, path = url.partition(":///")
        path, _, query = path.partition("?")
        url = f"{scheme}:///file:{path}?mode=ro&uri=true{'&' if query else ''}{query}"
    return RDBStorage(url, engine_kwargs={"connect_args": arguments}, skip_table_creation=True)
