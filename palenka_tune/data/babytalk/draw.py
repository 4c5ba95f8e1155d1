"""Random choices that are the same on every Python and in every process.

Only `random.Random.random` is used, the one method whose sequence Python promises to keep for a seed, and seeds are
SHA-256 digests of the parts that name a stream.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


@functools.cache
def _zipf(length: int) -> list[float]:
    return list(itertools.accumulate(1 / (rank + 4) for rank in range(length)))


class Draw:
    """A stream of random choices, named by its seed parts. What makes text from such a stream extends this class."""

    def __init__(self, *parts: str | int) -> None:
        digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
        self.uniform = random.Random(int.from_bytes(digest, "big")).random

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.uniform() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, all alike."""
        return items[int(self.uniform() * len(items))]

    def either(self, *items: T) -> T:
        """One of the arguments, all alike."""
        return self.pick(items)

    def zipf(self, items: Sequence[T]) -> T:
        """One of `items`, the first ones more often: weight 1 / (rank + 4)."""
        weights = _zipf(len(items))
        return items[bisect.bisect(weights, self.uniform() * weights[-1], 0, len(items) - 1)]

    def weighted(self, items: dict[T, float]) -> T:
        """A key of `items`, by its weight."""
        point = self.uniform() * sum(items.values())
        for item, weight in items.items():
            point -= weight
            if point < 0:
                return item
        return next(reversed(items))

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `items` (all, shuffled, if there are fewer)."""
        left = list(items)
        return [left.pop(int(self.uniform() * len(left))) for _ in range(min(count, len(left)))]
