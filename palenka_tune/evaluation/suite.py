"""Reading a suite of minimal pairs in BLiMP's format, strictly.

In: a folder of `*.jsonl` files, one JSON object a line with `sentence_good` and `sentence_bad`. Out: one `Paradigm`
per `UID` (per file where the lines have none), in the order of the files' names. `linguistics_term` and `field` are
kept where they are given. Anything that cannot be read as meant raises `UserError` with file and line.

Format: Warstadt et al. (2020), "BLiMP", TACL 8; the BabyLM challenge's BLiMP supplement uses the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.errors import UserError


@dataclass(frozen=True)
class MinimalPair:
    """An acceptable sentence and its unacceptable twin, with the line (from 1) that they came from."""

    good: str
    bad: str
    line: int


@dataclass(frozen=True)
class Paradigm:
    """The minimal pairs of one grammatical contrast; `term` and `field` are None where the files do not say."""

    uid: str
    path: Path
    term: str | None
    field: str | None
    pairs: tuple[MinimalPair, ...]


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
        good, bad = (_sentence(record, name, where) for name in ("sentence_good", "sentence_bad"))
        uid = str(record.get("UID") or path.stem)
        pairs.setdefault(uid, []).append(MinimalPair(good, bad, number))
        labels.setdefault(uid, (record.get("linguistics_term"), record.get("field")))
    if not pairs:
        raise UserError(f"{path}: no minimal pair in it; remove the file or fetch it again")
    return [Paradigm(uid, path, *labels[uid], tuple(found)) for uid, found in pairs.items()]


def _sentence(record: dict[str, object], name: str, where: str) -> str:
    if name not in record:
        raise UserError(f"{where}: no field {name!r} (fields: {', '.join(record)}); BLiMP's format needs it")
    text = record[name]
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: {name} is {text!r}; it must be a sentence")
    return text
