"""Optuna's journal as a search keeps it: every line is sealed and the number of lines is recorded.

A lost, torn or changed line is therefore noticed. The file is one that Optuna's own `JournalFileBackend` (and its
dashboard) reads: the seal is one more entry of each line. Only one process writes (`run_folder.locked`), so that no
lock file is needed, and none can be left behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from palenka_tune.config.files import no_room
from palenka_tune.config.sealed import Slate, crc_of, seal, unseal
from palenka_tune.errors import PalenkaError
from palenka_tune.storage import mirror


class SealedJournal(BaseJournalBackend):
    """The journal at `path`.

    The writer creates it if it does not exist, removes a last line that a crash tore, and raises `PalenkaError` if
    another line is damaged. While the disk is full it calls `wait_for_space` before each new try (None: it waits a
    second); that may raise to give up.

    With `read_only` another process may be writing: every read takes in the lines that were added, and no byte is
    changed. A last line without its end is left alone; `damage` says where another line is damaged, and nothing after
    it is read.
    """

    def __init__(
        self, path: Path, wait_for_space: Callable[[], None] | None = None, *, read_only: bool = False
    ) -> None:
        self.path, self.read_only = path, read_only
        self.damage: str | None = None
        self._wait_for_space = wait_for_space or (lambda: time.sleep(1.0))
        self._count = Slate(path.with_name(f"{path.name}.lines"))
        self._logs: list[dict[str, Any]] = []
        self._end, self._crc = 0, 0
        if not read_only:
            path.touch()
            self._read()
            self._repair()

    def _read(self) -> None:
        """Take in the whole lines after those that were read already."""
        count = self._count.read()  # before the lines, of which there are only ever more
        expected = int(count["lines"]) if count else 0
        damaged = False
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):  # being written, or torn by a crash
                    break
                record = unseal(line[:-1], self._crc)
                if record is None:
                    damaged = True
                    break
                self._logs.append(record)
                self._end, self._crc = self._end + len(line), crc_of(line[:-1])
        lines = len(self._logs)
        self.damage = None
        if damaged or lines < expected:
            self.damage = f"{self.path} is damaged at line {lines + 1} of {max(expected, lines + 1)}"

    def _repair(self) -> None:
        """Cut off a torn last line, which was never acknowledged; raises `PalenkaError` for any other damage."""
        if self.damage is not None:
            raise PalenkaError(
                f"{self.damage}, so results of trials would be lost; put back a copy of it, or start a new search "
                "under another --name"
            )
        if self.path.stat().st_size > self._end:
            os.truncate(self.path, self._end)
        self._count.write({"lines": len(self._logs)})

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The operations from number `log_number_from` on."""
        if self.read_only:
            self._read()
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the operations through to the disk; all of them or none."""
        if self.read_only:
            raise PalenkaError(f"{self.path} was opened to be read only")
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
        """Whether the disk had room; without room, a part that was written is removed."""
        handle = os.open(self.path, os.O_WRONLY)
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
