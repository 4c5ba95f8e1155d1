"""A tracker that remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Recorder:
    """Takes every call that a `Tracker` takes; `all(name)` gives the arguments of each call of one name."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def all(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]
