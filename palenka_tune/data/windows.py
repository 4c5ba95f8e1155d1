"""Windows of a token store to train and measure on: which ones, as arrays, and as the tensors that training reads.

Shape legend: n chosen windows of a split, T tokens of a window.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from palenka_tune.data.store import TokenStore

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Windows:
    """A choice of windows: for each split the rows, in order, of `TokenStore.shifted(split, copies)`.

    Only `train` is cut more than once; the rows of every other split are those of one copy.
    """

    rows: Mapping[str, np.ndarray]
    copies: int = 1

    @property
    def count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    def array(self, store: TokenStore, split: str) -> np.ndarray:
        """The chosen windows (n,T) of a split; memory-mapped, not copied, if all are chosen."""
        every = store.shifted(split, self.copies if split == "train" else 1)
        rows = self.rows[split]
        return every if len(rows) == len(every) else every[rows]

    def digest(self) -> dict[str, Any]:
        """What a fingerprint of the choice is made of: the copies, and the SHA-256 of each split's rows."""
        hashes = {split: hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest() for split, rows in self.rows.items()}
        return {"copies": self.copies, **hashes}


def window_tensor(windows: np.ndarray) -> Tensor:
    """The windows (n,T) as a tensor of their type that shares their memory."""
    import torch  # only processes that train load it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the mapped windows are read-only, and training only reads them
        return torch.from_numpy(windows)
