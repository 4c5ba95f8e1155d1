"""Records on disk that know whether they are whole: one line of JSON that ends with its own CRC-32.

A flipped bit in a number of a ledger is still valid JSON, so the line itself must show it. The check follows the record
as an ordinary last entry, `"crc"`, which other readers of the file may ignore.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palenka_tune.config.files import write_text
from palenka_tune.errors import PalenkaError

_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')


def seal(record: Mapping[str, Any], before: int = 0) -> bytes:
    """`record`, which holds at least one entry, as a line without its end. `before` is the CRC of the line before,
    where lines form a chain: then none can be left out, doubled or moved either."""
    body = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    return body[:-1] + f',"crc":"{zlib.crc32(body, before):08x}"}}'.encode()


def unseal(line: bytes, before: int = 0) -> dict[str, Any] | None:
    """The record of a sealed line, or None if it is damaged or does not follow the line with the CRC `before`."""
    found = _SEAL.search(line)
    if found is None:
        return None
    body = line[: found.start()] + b"}"
    if zlib.crc32(body, before) != int(found[1], 16):
        return None
    record = json.loads(body)
    return record if isinstance(record, dict) else None


def crc_of(line: bytes) -> int:
    """The CRC that a whole sealed line carries, for the line after it."""
    return int(line[-10:-2], 16)


def write_sealed(path: Path, record: Mapping[str, Any]) -> None:
    """Write one record to `path` atomically."""
    write_text(path, seal(record).decode() + "\n")


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote; raises `PalenkaError` if the file is missing or damaged."""
    try:
        record = unseal(path.read_bytes().rstrip(b"\n"))
    except FileNotFoundError:
        raise PalenkaError(f"{path} does not exist") from None
    if record is None:
        raise PalenkaError(f"{path} is damaged; delete it and run the command again")
    return record


class Slate:
    """A small record that is rewritten in place, without a new file or block: it can be updated on a full disk too.

    One process writes, others read. A reader that meets a torn or damaged record gets None. The file's time of change
    tells when it was written last.
    """

    SIZE = 512

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record; raises `OSError` if the file has to be made first and the disk is full."""
        line = seal(record)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(handle, line[: self.SIZE - 1].ljust(self.SIZE - 1) + b"\n")
        finally:
            os.close(handle)

    def read(self) -> dict[str, Any] | None:
        """The record as it stands, or None if there is none."""
        try:
            return unseal(self.path.read_bytes().strip())
        except OSError:
            return None
