"""Shards: what the cache keeps of a run of windows, as one file that every trial maps and none copies.

A shard is an Arrow IPC file with a single record batch. Its rows are windows; each column is one stored quantity, a
FixedSizeList<dtype>[T·W] whose field metadata holds its shape, (T,W) or (T,). One batch means one buffer per column,
so a mapped column is a plain (n,T,W) array, and a column that is not used is never read from disk. `ShardedColumn`
joins the same column of all shards into one logical (N,T,W) array from which batches are gathered.

Shapes: N windows of the cache, n windows of a shard, B windows of a batch, T tokens, W numbers per token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from palenka_tune.config.files import atomic_path
from palenka_tune.errors import PalenkaError, first_line, nearest

SHAPE = b"shape"
DTYPES = tuple(np.dtype(name) for name in ("float16", "float32", "int8", "uint16", "int32"))


def write_shard(path: str | Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write `columns`, each (n,T,W) or (n,T) of one of `DTYPES`, to `path` in one atomic step.

    The arrays' own memory is written, without a copy if it is contiguous. Columns of unequal length, another type or
    another number of dimensions raise `ValueError`. A full disk raises `OSError` and leaves nothing behind.
    """
    if len({len(array) for array in columns.values()}) != 1:
        raise ValueError(f"columns of one shard need equal lengths, got { {k: a.shape for k, a in columns.items()} }")
    arrays, fields = [], []
    for name, array in columns.items():
        if array.dtype not in DTYPES or array.ndim not in (2, 3):
            raise ValueError(f"column {name} is {array.dtype} {array.shape}; need {list(DTYPES)}, (n,T) or (n,T,W)")
        buffer = pa.py_buffer(np.ascontiguousarray(array).reshape(-1))
        values = pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), array.size, [None, buffer])
        arrays.append(pa.FixedSizeListArray.from_arrays(values, math.prod(array.shape[1:])))
        fields.append(
            pa.field(name, arrays[-1].type, nullable=False, metadata={SHAPE: json.dumps(array.shape[1:]).encode()})
        )
    batch = pa.record_batch(arrays, schema=pa.schema(fields))
    with (
        atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as writer,
    ):
        writer.write_batch(batch)


def map_shard(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a shard as read-only arrays (n,T,W) or (n,T) over the mapped file, none of them read yet.

    The file stays mapped, without an open descriptor, for as long as one of the arrays lives. Raises `PalenkaError` if
    the file is missing, torn or no shard; a changed value inside a column is for the manifest's SHA-256 to find.
    """
    path = Path(path)
    try:
        # closed at once, which keeps the mapping: thousands of shards would run out of descriptors otherwise
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            if reader.num_record_batches != 1:
                raise ValueError(f"{reader.num_record_batches} record batches instead of one")
            batch = reader.get_batch(0)
        batch.validate()
        return {field.name: _as_array(column, field) for column, field in zip(batch.columns, batch.schema, strict=True)}
    except FileNotFoundError:
        raise _damaged(path, "is missing") from None
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, f"is damaged ({first_line(error)})") from None


def _as_array(column: pa.Array, field: pa.Field) -> np.ndarray:
    kinds = [pa.from_numpy_dtype(dtype) for dtype in DTYPES]
    if not pa.types.is_fixed_size_list(field.type) or field.type.value_type not in kinds:
        raise ValueError(f"column {field.name} is {field.type}")
    shape = json.loads(field.metadata[SHAPE])
    return column.flatten().to_numpy(zero_copy_only=True).reshape(len(column), *shape)


def _damaged(path: Path, what: str) -> PalenkaError:
    return PalenkaError(
        f"{path} {what}; delete the folder {path.parent} and build the cache again, "
        "or run `python -m palenka_tune.cache verify` to see what else is wrong"
    )


class MisfitError(ValueError):
    """A shard, the one of that `number`, is not of the others' type, shape and length."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class ShardedColumn:
    """One column of all shards as a logical (N,T,W) or (N,T) array, mapped and never held in memory as a whole.

    `shards` are its mapped parts in order; all have `rows_per_shard` windows except the last, which may have fewer.
    Unequal shards raise `MisfitError`. Reading is safe from several threads. Pickling it would copy the data: a process
    maps the files anew.
    """

    def __init__(self, shards: Sequence[np.ndarray], rows_per_shard: int) -> None:
        self.shards = list(shards)
        self.rows_per_shard = rows_per_shard
        if not self.shards:
            raise ValueError("a column needs at least one shard")
        first, last = self.shards[0], self.shards[-1]
        expected = (rows_per_shard, *first.shape[1:])
        for number, shard in enumerate(self.shards):
            short = number == len(self.shards) - 1 and len(shard) < rows_per_shard
            if shard.dtype != first.dtype or shard.shape[1:] != expected[1:] or not (short or shard.shape == expected):
                message = f"shard {number} holds {shard.dtype} {shard.shape} instead of {first.dtype} {expected}"
                raise MisfitError(number, message)
        self.dtype = torch.from_numpy(np.empty(0, first.dtype)).dtype
        self.shape = ((len(self.shards) - 1) * rows_per_shard + len(last), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def gather(self, index: np.ndarray | Tensor, out: Tensor | None = None) -> Tensor:
        """Rows `index` (B,), in that order, repeats allowed: a (B,T,W) or (B,T) CPU tensor of the column's own type,
        `out` if it is given.

        Every row is copied once, with the GIL released. Indices in one shard, or sorted ones, need one call per shard.
        Raises `IndexError` for an index outside 0 … N−1.
        """
        rows = index.cpu().numpy() if isinstance(index, Tensor) else np.asarray(index)
        if out is None:
            out = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        if not len(rows):
            return out
        if rows.min() < 0 or rows.max() >= len(self):
            raise IndexError(f"index from {rows.min()} to {rows.max()} in a column of {len(self)} windows")
        target = out.numpy()
        shard, row = np.divmod(rows, self.rows_per_shard)
        # runs of neighbours in one shard: each fills one contiguous stretch of the target, so nothing is copied twice
        starts = np.flatnonzero(np.diff(shard, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            # the bounds were checked: `clip` only spares the buffer that `raise` needs
            np.take(self.shards[shard[start]], row[start:end], axis=0, out=target[start:end], mode="clip")
        return out


def map_columns(paths: Sequence[str | Path], names: Iterable[str], rows_per_shard: int) -> dict[str, ShardedColumn]:
    """The columns `names` over the shards at `paths`, in order; every file is mapped once.

    Raises `PalenkaError` that names the file if a shard is damaged, lacks a column or is not of its neighbours' shape.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for path in paths:
        arrays = map_shard(path)
        for name, shards in parts.items():
            if name not in arrays:
                raise PalenkaError(f"{path} holds no column '{name}'{nearest(name, arrays)}; build the cache again")
            shards.append(arrays[name])
    try:
        return {name: ShardedColumn(shards, rows_per_shard) for name, shards in parts.items()}
    except MisfitError as error:
        raise _damaged(Path(paths[error.number]), f"does not belong here ({error})") from None
