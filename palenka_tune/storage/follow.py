"""A folder whose files go to the remote storage as they change: what one process writes of a run, seen by all.

Every few seconds, and at the end, what changed is uploaded and what is gone is deleted. A store that is away for a
while costs nothing: the next round has all of it.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from palenka_tune.storage import mirror
from palenka_tune.storage.remote import StorageError

SECONDS = 10.0
logger = logging.getLogger(__name__)


class Follower:
    """Keeps the storage in step with `folder`, except for its entries `but`, while it is entered. Does nothing for a
    folder that is in no mirror."""

    def __init__(self, folder: Path, but: tuple[str, ...] = (), seconds: float = SECONDS) -> None:
        self.folder, self.but, self.seconds = folder, but, seconds
        self._sent: dict[Path, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Follower:
        if mirror.remote_of(self.folder) is not None:
            self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self.follow()

    def _run(self) -> None:
        while not self._over.wait(self.seconds):
            try:
                self.follow()
            except (OSError, StorageError) as error:
                logger.warning("%s; the next round tries again", error)

    def follow(self) -> None:
        """Bring the storage up to date; raises `StorageError` if it does not answer for long."""
        now = self._files()
        for path in [path for path in now if self._sent.get(path) != now[path]]:
            try:
                mirror.publish(path)
            except FileNotFoundError:  # replaced or deleted meanwhile
                continue
            self._sent[path] = now[path]
        for path in self._sent.keys() - now.keys():
            if not path.exists():
                mirror.forget(path)
            del self._sent[path]

    def _files(self) -> dict[Path, tuple[int, int]]:
        """{path: (bytes, time of change)} of what is to be kept in step, without files that are being written."""
        stamps: dict[Path, tuple[int, int]] = {}
        for path in self.folder.rglob("*"):
            top = path.relative_to(self.folder).parts[0]
            if top in self.but or path.name.startswith("."):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                stamps[path] = (status.st_size, status.st_mtime_ns)
        return stamps
