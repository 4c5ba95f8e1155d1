"""A copy of a folder of a remote storage, to look at: its small files, with the times that they have there.

The copy is apart from the mirror, in which a process of this machine may be working.
"""

from __future__ import annotations

import os
from pathlib import Path

from palenka_tune.storage import lease
from palenka_tune.storage.remote import Remote

SMALL = 64 << 20  # bytes; students and checkpoints are not looked at


class Snapshot:
    """Copies what is below `key` of `remote` to `folder`; `refresh` brings it up to date. In place of a large file
    there is an empty one with its name and time."""

    def __init__(self, remote: Remote, key: str, folder: Path) -> None:
        self.remote, self.key, self.folder = remote, key, folder
        self._known: dict[str, tuple[int, int]] = {}

    def refresh(self) -> None:
        """Copy what changed and delete what is gone; raises `StorageError` if the storage does not answer."""
        now = self.remote.keys(self.key)
        for key, stamp in now.items():
            if self._known.get(key) == stamp:
                continue
            path = self._path(key)
            if stamp[0] <= SMALL and not key.endswith((".pt", ".safetensors")):
                if not self.remote.download(key, path):
                    continue
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
            os.utime(path, ns=(stamp[1], stamp[1]))
            self._known[key] = stamp
        for key in self._known.keys() - now.keys():
            self._path(key).unlink(missing_ok=True)
            del self._known[key]

    @property
    def is_held(self) -> bool:
        """Whether a process has this folder to itself (`lease.held`)."""
        return lease.is_held(self.remote, self.key.replace("/", "-"))

    def _path(self, key: str) -> Path:
        return self.folder / key.removeprefix(self.key).lstrip("/")
