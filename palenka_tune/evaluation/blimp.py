"""Minimal pairs in BLiMP's format: JSON lines with `sentence_good` and `sentence_bad`.

There is one set of pairs for each `UID` (for each file whose lines have none), in the order of the files' names;
`linguistics_term` names the phenomenon that it belongs to.

Format: Warstadt et al. (2020), "BLiMP", TACL 8; the BabyLM challenge's BLiMP supplement uses the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Row, Suite, folder_rows, json_lines, text_field


def read_blimp(folder: str | Path, name: str = "blimp") -> Suite:
    """The pairs in a folder of `.jsonl` files.

    Raises:
        UserError: if the folder does not exist or has no such file, a file has no pair, a line is not a JSON object or
            lacks a sentence, or two files hold the same set.
    """
    return blimp_suite(folder_rows(folder, "BLiMP", {".jsonl": json_lines}), name)


def blimp_suite(rows: Iterable[Row], name: str = "blimp") -> Suite:
    """A suite of `rows`, its sets in the order in which they appear."""
    sets: dict[str, tuple[Path, str | None, list[MinimalPair]]] = {}
    for row in rows:
        path, line, record = row
        good, bad = (text_field(row, field, "BLiMP") for field in ("sentence_good", "sentence_bad"))
        uid = str(record.get("UID") or path.stem)
        first, _, pairs = sets.setdefault(uid, (path, record.get("linguistics_term"), []))
        if path != first:
            raise UserError(f"{path}: paradigm {uid!r} is in {first.name} too; keep one of the two files")
        pairs.append(MinimalPair(good, bad, line, record=record))
    return Suite(name, tuple(Paradigm(uid, path, term, tuple(pairs)) for uid, (path, term, pairs) in sets.items()))
