"""Reading minimal pairs in BLiMP's format, strictly, and the pairs and sets that all suites are made of.

In: a folder of `*.jsonl` files, one JSON object a line with `sentence_good` and `sentence_bad`. Out: one `Paradigm`
per `UID` (per file where the lines have none), in the order of the files' names. `linguistics_term` and `field` are
kept where they are given. Anything that cannot be read as meant raises `UserError` with file and line.

Format: Warstadt et al. (2020), "BLiMP", TACL 8; the BabyLM challenge's BLiMP supplement uses the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palenka_tune.errors import UserError


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
    """The minimal pairs of one grammatical contrast; `term` and `field` are None where the files do not say."""

    uid: str
    path: Path
    term: str | None
    field: str | None
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


def read_suite(folder: str | Path) -> list[Paradigm]:
    """All paradigms of a folder.

    Raises:
        UserError: if the folder does not exist or has no `*.jsonl` file, a file has no pair, a line is not a JSON
            object or lacks a sentence, or two files hold the same paradigm.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"minimal pairs: {folder} is not a folder; give a folder of .jsonl files in BLiMP's format")
    files = sorted(path for path in folder.glob("*.jsonl") if not path.name.startswith("."))
    if not files:
        inside = sorted({path.parent for path in folder.glob("*/*.jsonl")})
        hint = f"; did you mean {inside[0]}?" if inside else "; give a folder with one file a paradigm"
        raise UserError(f"minimal pairs: {folder} has no .jsonl file{hint}")
    paradigms: dict[str, Paradigm] = {}
    for path in files:
        for paradigm in _read_file(path):
            if paradigm.uid in paradigms:
                first = paradigms[paradigm.uid].path.name
                raise UserError(f"{path}: paradigm {paradigm.uid!r} is in {first} too; keep one of the two files")
            paradigms[paradigm.uid] = paradigm
    return list(paradigms.values())


def _read_file(path: Path) -> list[Paradigm]:
    pairs: dict[str, list[MinimalPair]] = {}
    labels: dict[str, tuple[str | None, str | None]] = {}
    for number, record in json_lines(path):
        where = f"{path}, line {number}"
        good, bad = (text_field(record, name, where, "BLiMP") for name in ("sentence_good", "sentence_bad"))
        uid = str(record.get("UID") or path.stem)
        pairs.setdefault(uid, []).append(MinimalPair(good, bad, number, record=record))
        labels.setdefault(uid, (record.get("linguistics_term"), record.get("field")))
    if not pairs:
        raise UserError(f"{path}: no minimal pair in it; remove the file or fetch it again")
    return [Paradigm(uid, path, *labels[uid], tuple(found)) for uid, found in pairs.items()]


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line from 1, JSON object) of each line of `path` that is not blank; raises `UserError` for any other."""
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
        yield number, record


def text_field(record: Mapping[str, Any], name: str, where: str, form: str) -> str:
    """The text in a field of `record`, as the format `form` wants it; raises `UserError` if there is none."""
    if name not in record:
        raise UserError(f"{where}: no field {name!r} (fields: {', '.join(record)}); {form}'s format needs it")
    text = record[name]
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: {name} is {text!r}; it must be a sentence")
    return text
