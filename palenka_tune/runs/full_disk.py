"""A full disk under the driver of a search: it waits until there is space, and says so once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from palenka_tune.config.files import no_room

logger = logging.getLogger(__name__)
POLL = 1.0  # seconds between two tries


class FullDisk:
    """Called after a write that found no room; returns when another try is worth it."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self._last = float("-inf")

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > 10 * POLL:
            logger.info(f"the disk of {self.storage} is full: the search waits; free space and it continues")
        self._last = now
        time.sleep(POLL)

    def when_room(self, action: Callable[[], None]) -> None:
        """Run `action`, again after each wait while the disk has no room for it."""
        while True:
            try:
                return action()
            except OSError as error:
                if not no_room(error):
                    raise
            self()
