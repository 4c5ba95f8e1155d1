"""Items in EWoK's format, paired for the two scores in use.

A file (`.jsonl` or `.csv`) has the fields Context1, Context2, Target1, Target2, and Domain (else its name is the
domain); each domain is a set. Target1 fits Context1 and Target2 fits Context2.

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
from collections.abc import Iterable, Iterator
from pathlib import Path

from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Record, Row, Suite, folder_rows, json_lines, text_field

FIELDS = ("Context1", "Context2", "Target1", "Target2")


def read_ewok(folder: str | Path, name: str = "ewok") -> Suite:
    """The items of a folder, domain by domain.

    Raises:
        UserError: if the folder does not exist or has no file of items, a file has no item, a line cannot be read, or
            a field is missing or empty.
    """
    return ewok_suite(folder_rows(folder, "EWoK", {".jsonl": json_lines, ".csv": _csv_lines}), name)


def ewok_suite(rows: Iterable[Row], name: str = "ewok") -> Suite:
    """A suite of `rows`, in the order in which the domains appear."""
    sets: dict[str, tuple[Path, list[MinimalPair], list[MinimalPair]]] = {}
    before: tuple[str, ...] = ()
    for row in rows:
        path, line, record = row
        item = tuple(text_field(row, field, "EWoK").strip() for field in FIELDS)
        context1, context2, target1, target2 = item
        turned = (context2, context1, target2, target1)
        if turned == before:
            before = ()
            continue
        before = item
        _, pairs, swapped = sets.setdefault(str(record.get("Domain") or path.stem), (path, [], []))
        directions = ((item, record), (turned, {**record, **dict(zip(FIELDS, turned, strict=True))}))
        for (context, other_context, target, other_target), fields in directions:
            pairs.append(MinimalPair(target, other_target, line, context, context, item, fields))
            swapped.append(MinimalPair(target, target, line, context, other_context, item, fields))
    return Suite(
        name,
        tuple(Paradigm(domain, path, None, tuple(pairs)) for domain, (path, pairs, _) in sets.items()),
        swapped_contexts=tuple(Paradigm(domain, path, None, tuple(pairs)) for domain, (path, _, pairs) in sets.items()),
    )


def _csv_lines(path: Path) -> Iterator[Record]:
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
