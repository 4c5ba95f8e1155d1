"""An MLflow store whose first opening has ended."""

from __future__ import annotations

from pathlib import Path

from palenka_tune.tracking import store


def opened(tracking_uri: str | None, storage: Path) -> tuple[str, str | None]:
    """The tracking URI of the store and the place of its artifacts."""
    begun = store.begin(tracking_uri, storage)
    if begun.opening is not None:
        begun.opening.join()
    return begun.uri, begun.artifacts
