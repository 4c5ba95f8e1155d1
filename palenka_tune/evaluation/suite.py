"""What all suites are made of: pairs of texts in sets, and the records of their files, read strictly.

Anything that cannot be read as meant raises `UserError` with file and line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palenka_tune.data.formats import check_characters
from palenka_tune.errors import UserError

Record = tuple[int, Mapping[str, Any]]
"""A line of a file (from 1) and the fields that stand there."""
Row = tuple[Path, int, Mapping[str, Any]]
"""A record and the file that it came from."""


@dataclass(frozen=True)
class MinimalPair:
    """An acceptable text and its unacceptable twin, with the line (from 1) that they came from.

    Each may follow a context, which is read but not scored. `item` are all texts of the item that the pair is made of,
    where it is more than the pair; `record` is the line as it was read.
    """

    good: str
    bad: str
    line: int
    good_context: str = ""
    bad_context: str = ""
    item: tuple[str, ...] = field(default=(), compare=False, repr=False)
    record: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts whose words a model must know for the pair to be fair."""
        return self.item or (self.good, self.bad)


@dataclass(frozen=True)
class Paradigm:
    """The minimal pairs of one grammatical contrast; `term` names its phenomenon (None: the files do not say)."""

    uid: str
    path: Path
    term: str | None
    pairs: tuple[MinimalPair, ...]


@dataclass(frozen=True)
class Suite:
    """Sets of pairs under a name, and how many pairs were read for them.

    `read` counts the pairs before any filter (None: as many as there are) and `left_out` names the sets of which a
    filter kept nothing. `swapped_contexts` holds the same items paired the other way, for suites that have two scores.
    """

    name: str
    paradigms: tuple[Paradigm, ...]
    read: int | None = None
    left_out: tuple[str, ...] = ()
    swapped_contexts: tuple[Paradigm, ...] = ()

    @property
    def pairs(self) -> int:
        """Pairs that are scored."""
        return sum(len(paradigm.pairs) for paradigm in self.paradigms)

    @property
    def filtered_out(self) -> int:
        """Pairs that a filter removed."""
        return 0 if self.read is None else self.read - self.pairs


def folder_rows(
    folder: str | Path, form: str, readers: Mapping[str, Callable[[Path], Iterable[Record]]]
) -> Iterator[Row]:
    """The rows of a folder's files in the order of their names; `readers` has a reader for each ending of a file.

    Raises:
        UserError: if the folder does not exist or has no such file, or a file has no record.
    """
    folder, kinds = Path(folder).expanduser(), " or ".join(readers)
    wanted = f"give a folder of {kinds} files in {form}'s format"
    if not folder.is_dir():
        raise UserError(f"{form}: {folder} is not a folder; {wanted}")
    files = _files(folder, readers)
    if not files:
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _files(path, readers)]
        raise UserError(f"{form}: {folder} has no {kinds} file; {f'did you mean {inside[0]}?' if inside else wanted}")
    for path in files:
        yield from rows_of(path, readers[path.suffix](path))


def _files(folder: Path, endings: Container[str]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in endings and not path.name.startswith("."))


def rows_of(path: Path, records: Iterable[Record]) -> list[Row]:
    """`records` as rows of `path`; raises `UserError` if there are none."""
    rows = [(path, line, record) for line, record in records]
    if not rows:
        raise UserError(f"{path}: no item in it; remove the file or fetch it again")
    return rows


def json_lines(path: Path) -> Iterator[Record]:
    """The JSON object of each line of `path` that is not blank; raises `UserError` for any other line."""
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not raw.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
            raise UserError(f"{where}: not JSON ({error}); each line must be one JSON object") from None
        if not isinstance(record, dict):
            raise UserError(f"{where}: a JSON {type(record).__name__}; each line must be one JSON object")
        if b"\\u" in raw:  # nothing else in UTF-8 can spell it
            check_characters(record, where)
        yield number, record


def text_field(row: Row, name: str, form: str) -> str:
    """The text in a field of `row`, as the format `form` wants it; raises `UserError` if there is none."""
    path, line, record = row
    if name not in record:
        fields = ", ".join(record)
        raise UserError(f"{path}, line {line}: no field {name!r} (fields: {fields}); {form}'s format needs it")
    text = record[name]
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{path}, line {line}: {name} is {text!r}; it must be a sentence")
    return text
