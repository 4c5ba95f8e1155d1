"""Token store: a corpus as fixed windows of token ids that every process reads without a copy.

Each cleaned text, a line unless the corpus is read otherwise, becomes `<s> ids </s>`; the texts of a split are
concatenated in file order and cut into N windows of T tokens, the last one padded with `<pad>` at its end. A tokenizer
that was given may have other tokens around a text, and no token for padding: then what fills no window is left out. One
Arrow IPC file a split (`train.arrow`, ...) holds a single record batch with one column `tokens`, FixedSizeList[T] of
uint16, or of int32 where ids need it: one batch is one buffer, so that the memory-mapped file is one (N, T) array.
Encoding streams, so memory does not grow with the corpus.

Shape legend: N windows of a split, T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from palenka_tune.config.artifacts import open_artifact
from palenka_tune.data.ids import MOST_UINT16, id_type
from palenka_tune.data.tokenizer import BOS_ID, EOS_ID, PAD_ID
from palenka_tune.errors import PalenkaError, UserError

STORE_VERSION = 1
LINES_PER_BATCH = 4096
NO_PADDING = -1  # in place of an id where no token is padding


@dataclass(frozen=True)
class Around:
    """The ids around a text and that of padding (None: there is no such token)."""

    start: int | None = BOS_ID
    end: int | None = EOS_ID
    pad: int | None = PAD_ID


@dataclass(frozen=True, eq=False)
class TokenStore:
    """A complete store on disk; open one with `TokenStore.open`. Pickles as its folder, so a worker maps it anew."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = False) -> TokenStore:
        """Open a store; `PalenkaError` says what to do if it is damaged. `verify` compares contents, not only sizes."""
        manifest = open_artifact(folder, verify=verify)
        if manifest.get("kind") != "token store" or manifest.get("version") != STORE_VERSION:
            raise PalenkaError(
                f"{folder} is not a token store of version {STORE_VERSION}; delete it and run the command again"
            )
        return cls(Path(folder), manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        return (TokenStore.open, (self.folder,))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the store holds, `train` and `dev` at least."""
        return tuple(self.manifest["splits"])

    @property
    def around(self) -> Around:
        """The ids around a text, and that of padding."""
        return Around(**self.manifest.get("around", {}))

    @property
    def pad_id(self) -> int:
        """The id of padding, which is never predicted; `NO_PADDING` if every window is full."""
        pad = self.around.pad
        return NO_PADDING if pad is None else pad

    @property
    def vocabulary_size(self) -> int:
        """Entries of the tokenizer, special tokens included; every id is below it."""
        return int(self.manifest["vocabulary_size"])

    @property
    def window(self) -> int:
        """Tokens in a window (T)."""
        return int(self.manifest["window"])

    @property
    def unit(self) -> str:
        """What one of its texts is: a line, a paragraph or a document."""
        return str(self.manifest["shaped_by"].get("unit", "line"))

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the text, the cleaning, the tokenizer and the window."""
        return str(self.manifest["fingerprint"])

    def tokens(self, split: str) -> int:
        """Tokens of `split` without padding, those around texts included."""
        return int(self._split(split)["tokens"])

    def words(self, split: str) -> int:
        """Words (runs between white space) of the cleaned lines of `split`."""
        return int(self._split(split)["words"])

    def windows(self, split: str) -> np.ndarray:
        """The windows of `split`: (N, T) uint16 or int32, read-only and memory-mapped, never copied."""
        self._split(split)
        return self._arrays[split]

    def shifted(self, split: str, copies: int) -> np.ndarray:
        """(copies * N, T): the windows of `split`, then the same text cut T/copies, 2T/copies, ... tokens later.

        The last window of a shifted copy ends in padding, or, where no token is padding, with the beginning of the
        text. One copy is `windows`; more are made in memory.
        """
        windows = self.windows(split)
        if copies == 1:
            return windows
        made = np.empty((copies, *windows.shape), dtype=windows.dtype)
        whole = windows.reshape(-1)
        for number in range(copies):
            begin = number * self.window // copies
            rest = whole[:begin] if self.around.pad is None else np.full(begin, self.pad_id, dtype=windows.dtype)
            made[number].reshape(-1)[:] = np.concatenate([whole[begin:], rest])
        return made.reshape(-1, self.window)

    def _split(self, split: str) -> dict[str, int]:
        if split not in self.manifest["splits"]:
            raise PalenkaError(f"{self.folder} holds no {split} split (it holds {', '.join(self.splits)})")
        counts: dict[str, int] = self.manifest["splits"][split]
        return counts

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {split: self._map(split) for split in self.splits}

    def _map(self, split: str) -> np.ndarray:
        path = self.folder / f"{split}.arrow"
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            column = batch.column(0)
            array = column.flatten().to_numpy(zero_copy_only=True).reshape(-1, column.type.list_size)
        except (pa.ArrowException, OSError, ValueError, IndexError) as error:
            raise PalenkaError(
                f"{path} is damaged ({error}); delete the folder {self.folder} and run the command again"
            ) from None
        expected = (self.manifest["splits"][split]["windows"], self.window)
        if array.shape != expected or array.dtype != np.dtype(id_type(self.vocabulary_size)):
            raise PalenkaError(
                f"{path} holds {array.dtype} windows of shape {array.shape} where its manifest says {expected}; "
                f"delete the folder {self.folder} and run the command again"
            )
        return array


def write_split(
    folder: Path,
    split: str,
    lines: Iterable[str],
    tokenizer: Tokenizer,
    window: int,
    around: Around = Around(),
    size: int = MOST_UINT16,
) -> dict[str, int]:
    """Encode the texts `lines` into `folder/<split>.arrow`, with the ids `around` each; `size` is the vocabulary's.

    Returns the counts `lines, words, bytes, tokens, windows` for the manifest; `bytes` are those of the texts in UTF-8,
    one more each for its end.

    The ids go to a flat file first and from there, mapped, into the one record batch, so memory stays at one batch of
    lines. Text that spells a special token is encoded as the characters it is.
    """
    counts = {"lines": 0, "words": 0, "bytes": 0, "tokens": 0, "windows": 0}
    dtype, start, end = (
        np.dtype(id_type(size)),
        *([] if each is None else [each] for each in (around.start, around.end)),
    )
    flat = folder / f".{split}.ids"
    tokenizer.encode_special_tokens = True
    with flat.open("wb") as file:
        for batch in batches(lines):
            encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            ids = list(chain.from_iterable((*start, *encoding.ids, *end) for encoding in encodings))
            file.write(np.array(ids, dtype=dtype).tobytes())
            counts["lines"] += len(batch)
            counts["words"] += sum(len(line.split()) for line in batch)
            counts["bytes"] += sum(len(line.encode()) + 1 for line in batch)
            counts["tokens"] += len(ids)
        if around.pad is not None:
            file.write(np.full(-counts["tokens"] % window, around.pad, dtype=dtype).tobytes())
        counts["windows"] = file.tell() // dtype.itemsize // window
        file.truncate(counts["windows"] * window * dtype.itemsize)
    try:
        _write_arrow(flat, folder / f"{split}.arrow", window, dtype)
    finally:
        flat.unlink()
    return counts


def _write_arrow(flat: Path, path: Path, window: int, dtype: np.dtype[Any]) -> None:
    """One FixedSizeList record batch over the flat file of ids."""
    buffer = pa.memory_map(str(flat)).read_buffer() if flat.stat().st_size else pa.py_buffer(b"")
    ids = pa.Array.from_buffers(pa.from_numpy_dtype(dtype), buffer.size // dtype.itemsize, [None, buffer])
    column = pa.FixedSizeListArray.from_arrays(ids, window)
    batch = pa.record_batch([column], names=["tokens"])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def batches(lines: Iterable[str]) -> Iterator[list[str]]:
    """As many lines at a time as a tokenizer encodes at once."""
    iterator = iter(lines)
    while batch := list(islice(iterator, LINES_PER_BATCH)):
        yield batch


def subset(n: int, fraction: float, seed: int = 0) -> np.ndarray:
    """Sorted indices (int64) of a fixed random `fraction` of `n` windows, at least one.

    The subsets of one seed are nested: a smaller fraction is contained in a larger one, so a trial on 20 % of the
    windows sees nothing that the full run does not.
    """
    if not 0 < fraction <= 1:
        raise UserError(
            f"fraction is {fraction}; it must be above 0 and at most 1, for example 0.2 for 20 % of windows"
        )
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: max(1, round(n * fraction))])
