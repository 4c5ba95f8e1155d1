"""Optuna's journal as a search keeps it: every line sealed, the number of lines known, nothing torn.

Goes in: operations of an Optuna study. Comes out: the same, or a `PalenkaError` that says which line is damaged. The
file is one that Optuna's own `JournalFileBackend` (and its dashboard) reads: the seal is one more entry of each line.
Only one process writes (`run_folder.locked`), so that no lock file is needed, and none can be left behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from palenka_tune.config.files import no_room
from palenka_tune.config.sealed import BINARY, Slate, crc_of, seal, unseal
from palenka_tune.errors import PalenkaError
from palenka_tune.storage import mirror


class SealedJournal(BaseJournalBackend):
    """The journal at `path`, created if it is not there. Opening it repairs a last line that a crash tore.

    `wait_for_space` is called while the disk is full and may raise; then the line is tried again.
    """

    def __init__(self, path: Path, wait_for_space: Callable[[], None]) -> None:
        self.path = path
        self._wait_for_space = wait_for_space
        self._count = Slate(path.with_name(f"{path.name}.lines"))
        self._logs: list[dict[str, Any]] = []
        self._end, self._crc = 0, 0
        path.touch()
        self._load()

    def _load(self) -> None:
        """Read and check every line; a last one without its end was never acknowledged and goes."""
        known = self._count.read()
        expected = int(known["lines"]) if known else 0
        with self.path.open("rb") as file:
            for line in file:
                record = unseal(line[:-1], self._crc) if line.endswith(b"\n") else None
                if record is None:
                    break
                self._logs.append(record)
                self._end, self._crc = self._end + len(line), crc_of(line[:-1])
            rest = self.path.stat().st_size - self._end
        torn = rest and b"\n" not in self.path.read_bytes()[self._end :]
        if len(self._logs) < expected or (rest and not torn):
            raise PalenkaError(
                f"{self.path} is damaged at line {len(self._logs) + 1} of {max(expected, len(self._logs) + 1)}, so "
                "results of trials would be lost; put back a copy of it, or start a new search under another --name"
            )
        if torn:
            os.truncate(self.path, self._end)
        self._count.write({"lines": len(self._logs)})

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The operations from number `log_number_from` on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the operations through to the disk; all of them or none."""
        lines, crc = [], self._crc
        for log in logs:
            lines.append(seal(log, crc))
            crc = crc_of(lines[-1])
        data = b"\n".join(lines) + b"\n"
        while not self._append(data):
            self._wait_for_space()
        self._logs += logs
        self._end, self._crc = self._end + len(data), crc
        self._count.write({"lines": len(self._logs)})
        for path in (self.path, self._count.path):  # in this order: too few lines would be damage
            mirror.publish(path)

    def _append(self, data: bytes) -> bool:
        """Whether there was room; a part that was written is taken back."""
        handle = os.open(self.path, os.O_WRONLY | BINARY)
        try:
            os.lseek(handle, self._end, os.SEEK_SET)
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, self._end)
            if not no_room(error):
                raise
            return False
        finally:
            os.close(handle)
        return True


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
