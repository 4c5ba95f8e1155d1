"""`trials.parquet` and `finalists.parquet`: typed rows to a table on disk and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from palenka_tune.config.files import atomic_path
from palenka_tune.spaces.space import label
from palenka_tune.trials.rows import FinalistRow, TrialRow

TRIALS, FINALISTS = "trials.parquet", "finalists.parquet"
NO_COLUMN = "curve"
Row = TypeVar("Row", TrialRow, FinalistRow)


def write_rows(path: Path, rows: Sequence[TrialRow] | Sequence[FinalistRow], columns: Iterable[str] = ()) -> None:
    """Write a row each; the entries of `settings` or `scores` become columns, those named in `columns` first."""
    table: dict[str, list[Any]] = {}
    kind: type = type(rows[0]) if rows else TrialRow
    for each in dataclasses.fields(kind):
        values = [getattr(row, each.name) for row in rows]
        if each.name == kind.COLUMNS:  # type: ignore[attr-defined]
            names = dict.fromkeys([*columns, *(name for value in values for name in value)])
            table |= {name: _of_one_type([label(value.get(name)) for value in values]) for name in names}
        elif each.name != NO_COLUMN:
            table[each.name] = values
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(table), temporary)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a table; none if there is no such file."""
    names = {each.name for each in dataclasses.fields(kind)}
    rows = []
    for record in pq.read_table(path).to_pylist() if path.is_file() else ():
        fields: dict[str, Any] = {name: value for name, value in record.items() if name in names}
        fields[kind.COLUMNS] = {name: value for name, value in record.items() if name not in names}
        rows.append(kind(**fields))
    return rows


def _of_one_type(values: list[Any]) -> list[Any]:
    """A column of one type: numbers stay numbers, a mix becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return [float(value) if kinds == {int, float} and value is not None else value for value in values]
    return [None if value is None else str(value) for value in values]
