"""Reading items in EWoK's format, strictly, and pairing them for the two scores in use.

In: a folder of `*.jsonl` or `*.csv` files with the fields Context1, Context2, Target1, Target2, and Domain (else the
file's name is the domain). Out: a `Suite` with one set a domain. Target1 fits Context1 and Target2 fits Context2.

- The suite's score is the BabyLM challenge's: the two targets after one context. Each item gives two pairs, Target1
  against Target2 after Context1, and Target2 against Target1 after Context2.
- EWoK's own score (`Suite.swapped_contexts`) is one target after the two contexts: Target1 after Context1 against
  Context2, and Target2 after Context2 against Context1. A preference for one of the targets cannot help it.

The challenge's own files hold each item twice, the second time with contexts and targets swapped; such a line says
nothing new and is taken together with the one before it. EWoK's items are gated, so none are shipped here.

Format: Ivanova et al. (2024), "Elements of World Knowledge (EWoK)", arXiv:2405.09605.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Suite, json_lines, text_field

FIELDS = ("Context1", "Context2", "Target1", "Target2")
Row = tuple[Path, int, Mapping[str, Any]]
"""A file, a line in it (from 1) and the record that stands there."""


def read_ewok(folder: str | Path, name: str = "ewok") -> Suite:
    """The items of a folder, domain by domain.

    Raises:
        UserError: if the folder does not exist or has no file of items, a file has no item, a line cannot be read, or
            a field is missing or empty.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"EWoK: {folder} is not a folder; give a folder of .jsonl or .csv files in EWoK's format")
    files = sorted(
        path for path in folder.iterdir() if path.suffix in (".jsonl", ".csv") and not path.name.startswith(".")
    )
    if not files:
        raise UserError(f"EWoK: {folder} has no .jsonl or .csv file; give a folder of files in EWoK's format")
    return ewok_suite([row for path in files for row in _rows(path)], name)


def ewok_suite(rows: Iterable[Row], name: str = "ewok") -> Suite:
    """A suite of `rows`, in the order in which the domains appear."""
    pairs: dict[str, list[MinimalPair]] = {}
    swapped: dict[str, list[MinimalPair]] = {}
    paths: dict[str, Path] = {}
    before: list[str] = []
    for path, line, record in rows:
        where = f"{path}, line {line}"
        item = [text_field(record, field, where, "EWoK").strip() for field in FIELDS]
        context1, context2, target1, target2 = item
        if [context2, context1, target2, target1] == before:
            before = []
            continue
        before = item
        domain = str(record.get("Domain") or path.stem)
        paths.setdefault(domain, path)
        turned = {**record, **dict(zip(FIELDS, (context2, context1, target2, target1), strict=True))}
        pairs.setdefault(domain, []).extend(
            MinimalPair(good, bad, line, context, context, tuple(item), kept)
            for context, good, bad, kept in ((context1, target1, target2, record), (context2, target2, target1, turned))
        )
        swapped.setdefault(domain, []).extend(
            MinimalPair(target, target, line, good, bad, tuple(item), kept)
            for target, good, bad, kept in (
                (target1, context1, context2, record),
                (target2, context2, context1, turned),
            )
        )
    main, other = (
        tuple(Paradigm(domain, paths[domain], None, None, tuple(found)) for domain, found in read.items())
        for read in (pairs, swapped)
    )
    return Suite(name, main, swapped_contexts=other)


def _rows(path: Path) -> Iterator[Row]:
    rows = _csv_rows(path) if path.suffix == ".csv" else json_lines(path)
    empty = True
    for line, record in rows:
        empty = False
        yield path, line, record
    if empty:
        raise UserError(f"{path}: no item in it; remove the file or fetch it again")


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        header = reader.fieldnames or []
        if header and not set(header) & set(FIELDS):
            raise UserError(
                f"{path}, line 1: no header (it reads {', '.join(header)[:80]!r}); the first line must name the "
                f"columns {', '.join(FIELDS)}"
            )
        for record in reader:
            if None in record:  # more cells than columns
                raise UserError(
                    f"{path}, line {reader.line_num}: more cells than the header has columns; mend the line"
                )
            yield reader.line_num, record
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + 1}: not CSV ({error}); mend the line") from None
