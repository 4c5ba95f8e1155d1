"""Files of text, each kind read as a stream of documents: plain text, JSON lines and Parquet.

A document is an iterator of (line, bytes read for it) pairs, so that no file is ever held in memory. A file of plain
text is one document, a record of JSON lines or a row of Parquet is one each: the text of its field `text`, or of its
only field of strings; without a value there it is left out. `.gz` after an ending is unpacked on the way; endings may
be in upper case.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from palenka_tune.config.files import check_no_pointer
from palenka_tune.errors import UserError, first_line

Line = tuple[str, int]
Document = Iterator[Line]
FIELD = "text"
ROWS = 1024  # of Parquet at a time
BEGINNING = 2000  # lines by which plain text is told to have paragraphs, bytes by which an encoding is guessed
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}


def ending(path: Path) -> str:
    """The ending that says what a file is, in lower case and without `.gz`: `.jsonl` of `a.JSONL.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def source_name(path: Path) -> str:
    """The file's name without its endings, which picks the cleaning rules."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).stem


def documents(path: Path) -> Iterator[Document]:
    """The documents of a file, one after another.

    Raises `UserError` for a file that cannot be read, is not UTF-8 (with the byte offset), or has no field of text.
    """
    check_no_pointer(path)
    reader = READERS.get(ending(path), _plain)
    return reader(path)


def decoded(path: Path, raw: bytes, offset: int) -> str:
    """UTF-8 without NUL bytes, or a `UserError` that names the byte; `offset` is that of `raw` in the unpacked file."""
    try:
        text = raw.decode("utf-8")
        at, wrong = raw.find(b"\0"), "is no text"
    except UnicodeDecodeError as error:
        at, wrong = error.start, "is not UTF-8"
    if at < 0:
        return text
    with _open(path) as file:
        looks, fix = _kind_of(file.read(BEGINNING))
    raise UserError(f"{path} {wrong}: byte 0x{raw[at]:02x} at byte offset {offset + at} cannot be read{looks}; {fix}")


def _kind_of(beginning: bytes) -> tuple[str, str]:
    """What the bytes at the beginning of a file that is not UTF-8 look like, and what to do."""
    for magic, kind in PACKED.items():
        if beginning.startswith(magic):
            return f" (it looks like {kind})", "unpack it, or, if it is packed with gzip, let its name end in .gz"
    encoding = next((name for mark, name in MARKS.items() if beginning.startswith(mark)), None) or _by_nul(beginning)
    if encoding:
        return f" (it looks like {encoding})", f"convert it: iconv -f {encoding} -t UTF-8 FILE > NEW_FILE"
    if b"\0" in beginning:
        return " (it looks binary)", "give a file of text, or remove it"
    return "", "convert the file to UTF-8 (for example with iconv), or repair it"


def _by_nul(beginning: bytes) -> str | None:
    """UTF-32 or UTF-16, as told by where the zero bytes are that it has in each ASCII character; else None."""
    zero = np.frombuffer(beginning, dtype=np.uint8) == 0
    by_four = [zero[place::4].mean() for place in range(4)] if len(zero) > 4 else [0.0] * 4
    if min(by_four[1:]) > 0.9 > by_four[0]:
        return "UTF-32LE"
    if min(by_four[:3]) > 0.9 > by_four[3]:
        return "UTF-32BE"
    even, odd = int(zero[::2].sum()), int(zero[1::2].sum())
    if even + odd < 0.02 * len(zero):
        return None
    return "UTF-16LE" if odd > 20 * even else "UTF-16BE" if even > 20 * odd else None


def check_characters(record: Mapping[str, Any], where: str) -> None:
    """Raise `UserError` if a JSON record holds half a surrogate pair, which `\\ud83d` alone is: no encoding has it."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise UserError(
            f"{where}: half a surrogate pair (\\u{half:04x}), which is no character; remove it, or write the pair "
            "whole as its text had it"
        ) from None


def _open(path: Path) -> BinaryIO:
    try:
        return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); make it readable or remove it") from None


def _raw(path: Path) -> Iterator[tuple[bytes, int]]:
    """(line, its offset) pairs of the unpacked file."""
    offset = 0
    try:
        with _open(path) as file:
            for raw in file:
                yield raw, offset
                offset += len(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked ({first_line(error)}); copy it again") from None


def _split(text: str, size: int) -> Iterator[Line]:
    """The lines of a text, of which the first counts for all its bytes."""
    for number, part in enumerate(text.split("\n")):
        for index, piece in enumerate(part.rstrip("\r").split("\r")):  # a lone carriage return ends a line too
            yield piece, size if number == index == 0 else 0


def _plain(path: Path) -> Iterator[Document]:
    def lines() -> Document:
        for raw, offset in _raw(path):
            text = decoded(path, raw, offset)
            yield from _split((text.removeprefix("\ufeff") if offset == 0 else text).rstrip("\r\n"), len(raw))

    yield lines()


def _json_lines(path: Path) -> Iterator[Document]:
    name = None  # of the field, the same in all records
    for number, (raw, offset) in enumerate(_raw(path), 1):
        text = decoded(path, raw, offset)
        if offset == 0:
            text = text.removeprefix("\ufeff")
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except ValueError as error:
            raise UserError(f"{path}, line {number}, is not JSON ({error}); a line must hold one record") from None
        if not isinstance(record, dict):
            raise UserError(f'{path}, line {number}, is no record; give lines such as {{"text": "..."}}')
        if "\\u" in text:  # nothing else in UTF-8 can spell half a surrogate pair
            check_characters(record, f"{path}, line {number}")
        if name is None:
            strings = [each for each, held in record.items() if isinstance(held, str)]
            name = FIELD if FIELD in record else _field(path, strings)
        if name in record and record[name] is None:  # written for a text that is empty
            continue
        value = record.get(name)
        if not isinstance(value, str):
            raise UserError(
                f"{path}, line {number}, has no text in its field {name!r}; every record needs it as a string, or null"
            )
        yield _split(value, len(raw))


def _parquet(path: Path) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        kinds = {
            field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            for field in file.schema_arrow
        }
        strings = [name for name, kind in kinds.items() if any(is_kind(kind) for is_kind in text)]
        name = _field(path, strings)
        share = path.stat().st_size / max(1, file.metadata.num_rows)
        for batch in file.iter_batches(ROWS, columns=[name]):
            for value in batch.column(0).to_pylist():
                if value is not None:
                    yield _split(value, int(share))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet ({first_line(error)}); copy it again") from None


def _field(path: Path, strings: list[str]) -> str:
    if FIELD in strings:
        return FIELD
    if len(strings) != 1:
        raise UserError(
            f"{path} must have a field {FIELD!r} or exactly one field of strings, and it has "
            f"{', '.join(strings) or 'none'}; rename the one that holds the text"
        )
    return strings[0]


def parts(path: Path, low: float, high: float) -> Iterator[Document]:
    """The documents of a file whose place, which a hash of the text draws from [0, 1), is in [low, high).

    Plain text has the paragraphs of its one document in their place, or its lines if no line of its beginning is blank.
    The same text always falls on the same side.
    """
    for document in documents(path):
        for piece in _pieces(document) if READERS.get(ending(path), _plain) is _plain else (list(document),):
            text = "\n".join(line for line, _ in piece)
            place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
            if text.strip() and low <= place < high:
                yield iter(piece)


def _pieces(document: Document) -> Iterator[list[Line]]:
    beginning = list(islice(document, BEGINNING))
    by_line = all(line.strip() for line, _ in beginning)
    held: list[Line] = []
    for line, size in chain(beginning, document):
        held.append((line, size))
        if by_line or not line.strip():
            yield held
            held = []
    yield held


READERS: dict[str, Callable[[Path], Iterator[Document]]] = {
    ".txt": _plain,
    ".md": _plain,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def is_text(path: Path) -> bool:
    """Whether a file is of a kind that is read; a README or a licence beside the text is none of it."""
    return ending(path) in READERS and not any(
        path.name.upper().startswith(name) for name in ("README", "LICENSE", "LICENCE", "COPYING")
    )
