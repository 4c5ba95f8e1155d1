"""Files in an object store or on a shared file system, by `pyarrow.fs`: `s3://`, `gs://` and `file://` URLs.

A reader never sees a file that is half written. Credentials, regions and endpoints come from the environment alone
(`AWS_PROFILE`, `AWS_ENDPOINT_URL`, a machine's own role, ...). A store that does not answer for a while is asked again;
one that stays away is a `StorageError`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from palenka_tune.clocks import AwakeClock
from palenka_tune.errors import PalenkaError, UserError, first_line

if TYPE_CHECKING:
    from pyarrow import fs

T = TypeVar("T")
SCHEMES = ("s3", "gs", "file")
MOST_SECONDS = 90.0  # that a try takes, with the wait before it
PATIENCE = 300.0
"""Seconds for which a store that does not answer is asked again: an outage costs a trial time, not its work."""
CHUNK = 16 << 20


class StorageError(PalenkaError):
    """The storage does not answer, refuses, or holds a damaged file."""


@dataclass(frozen=True)
class Remote:
    """The folder `url`. Keys are paths below it with `/` between their parts."""

    url: str

    @classmethod
    def parse(cls, text: str) -> Remote:
        """Check a URL as a person types it; raises `UserError`."""
        parts = urlsplit(text)
        if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file") or not parts.path.strip("/"):
            raise UserError(
                f"--storage is {text}; give a folder, s3://bucket/folder, gs://bucket/folder or file:///folder"
            )
        if "@" in parts.netloc or parts.query:
            raise UserError(
                f"--storage {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path} was given with credentials "
                "or options in it; put them into the environment (AWS_PROFILE, AWS_ENDPOINT_URL, "
                "GOOGLE_APPLICATION_CREDENTIALS, ...)"
            )
        return cls(text.rstrip("/"))

    @property
    def filesystem(self) -> fs.FileSystem:
        return _open(self.url)[0]

    def path(self, key: str = "") -> str:
        """The path of `key` in the file system."""
        base = _open(self.url)[1].rstrip("/")
        return f"{base}/{key}" if key else base

    def write(self, key: str, data: bytes, *, patience: float = PATIENCE) -> None:
        """Put `data` at `key` in one step."""
        self._patiently(lambda: self._put(key, lambda out: out.write(data)), patience)

    def write_json(self, key: str, value: Any) -> None:
        """Put `value` as indented JSON at `key`."""
        self.write(key, (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode())

    def upload(self, path: Path, key: str) -> None:
        """Put a local file at `key` in one step."""

        def copy(out: Any) -> None:
            with path.open("rb") as file:
                shutil.copyfileobj(file, out, CHUNK)

        self._patiently(lambda: self._put(key, copy))

    def _put(self, key: str, write: Callable[[Any], Any]) -> None:
        """An object appears when its stream is closed; on a file system a file gets its name then."""
        from pyarrow import fs

        target = self.path(key)
        if not isinstance(self.filesystem, fs.LocalFileSystem):
            with self.filesystem.open_output_stream(target) as out:
                write(out)
            return
        folder, _, name = target.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}"
        self.filesystem.create_dir(folder)
        try:
            with self.filesystem.open_output_stream(temporary) as out:
                write(out)
            self.filesystem.move(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def read(self, key: str, *, patience: float = PATIENCE) -> bytes | None:
        """What is at `key`; None if there is nothing."""

        def get() -> bytes | None:
            try:
                with self.filesystem.open_input_stream(self.path(key)) as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

        return self._patiently(get, patience)

    def read_json(self, key: str) -> Any:
        """The JSON at `key`, or None; raises `StorageError` if it is damaged."""
        data = self.read(key)
        if data is None:
            return None
        try:
            return json.loads(data)
        except ValueError as error:
            raise StorageError(f"{self.url}/{key} is damaged ({error}); delete it and run the command again") from None

    def download(self, key: str, path: Path) -> bool:
        """Copy `key` to the local file `path`, which then is whole; False if there is nothing at `key`."""

        def get() -> bool:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            try:
                with self.filesystem.open_input_stream(self.path(key)) as file, temporary.open("wb") as out:
                    shutil.copyfileobj(file, out, CHUNK)
                temporary.replace(path)
                return True
            except FileNotFoundError:
                return False
            finally:
                temporary.unlink(missing_ok=True)

        return self._patiently(get)

    def stamp(self, key: str) -> tuple[int, int] | None:
        """(bytes, time of change in ns) of what is at `key`; None if there is nothing."""
        info = self._patiently(lambda: self.filesystem.get_file_info(self.path(key)))
        return (info.size, info.mtime_ns) if info.is_file else None

    def keys(self, prefix: str = "") -> dict[str, tuple[int, int]]:
        """{key: (bytes, time of change in ns)} of the files below `prefix`, which is a folder."""
        base = len(self.path()) + 1
        listed = self._list(prefix, recursive=True)
        return {info.path[base:]: (info.size, info.mtime_ns) for info in listed if info.is_file}

    def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders right below `prefix`."""
        return [info.base_name for info in self._list(prefix) if not info.is_file]

    def _list(self, prefix: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        from pyarrow import fs

        selector = fs.FileSelector(self.path(prefix), recursive=recursive, allow_not_found=True)
        return self._patiently(lambda: list(self.filesystem.get_file_info(selector)))

    def delete(self, key: str, *, patience: float = PATIENCE) -> None:
        """Delete `key`, if it exists."""
        self._remove(lambda: self.filesystem.delete_file(self.path(key)), patience)

    def delete_folder(self, prefix: str) -> None:
        """Delete everything below `prefix`."""
        self._remove(lambda: self.filesystem.delete_dir(self.path(prefix)))

    def _remove(self, delete: Callable[[], None], patience: float = PATIENCE) -> None:
        """Run `delete`; what is gone already is no fault."""

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                delete()

        self._patiently(remove, patience)

    def check(self) -> None:
        """Write, read and delete a small file; raises `UserError` with the store's answer."""
        key, data = f".check-{uuid.uuid4().hex[:8]}", b"palenka_tune"
        try:
            self.write(key, data, patience=0.0)
            kept = self.read(key, patience=0.0)
            self.delete(key, patience=0.0)
        except StorageError as error:
            raise UserError(str(error)) from None
        if kept != data:
            raise UserError(f"--storage {self.url} does not give back what is written to it; give another one")

    def _patiently(self, action: Callable[[], T], patience: float = PATIENCE) -> T:
        """Run `action`, again and again while the store does not answer."""
        clock, pause = AwakeClock(most=MOST_SECONDS), 0.5
        while True:
            try:
                return action()
            except OSError as error:
                if _local(error) or clock.now() + pause > patience:
                    reason = (error.strerror or str(error)).strip().splitlines()[0]
                    raise StorageError(
                        f"the storage {self.url} cannot be used ({reason}); check its address, the credentials in the "
                        "environment and the network, and run the same command again"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, 30.0)


def _local(error: OSError) -> bool:
    """Whether waiting cannot help: a permission, or a full disk here."""
    return isinstance(error, PermissionError) or "ACCESS_DENIED" in str(error) or "NO_SUCH_BUCKET" in str(error)


@lru_cache(maxsize=8)
def _open(url: str) -> tuple[fs.FileSystem, str]:
    from pyarrow import fs

    try:
        if url.startswith("s3://"):
            return _s3(url.removeprefix("s3://"))
        filesystem, path = fs.FileSystem.from_uri(url)
    except (OSError, ValueError) as error:
        raise UserError(f"--storage {url} cannot be opened ({first_line(error)}); check the address") from None
    return filesystem, str(path)


def _s3(path: str) -> tuple[fs.FileSystem, str]:
    """S3, or a service with its protocol at `AWS_ENDPOINT_URL`; a small file is one request instead of three."""
    from pyarrow import fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:  # such a machine has no metadata service, and looking for one takes seconds
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    elif region is None:
        region = fs.resolve_s3_region(path.partition("/")[0])
    filesystem = fs.S3FileSystem(
        region=region, endpoint_override=endpoint, allow_delayed_open=True, connect_timeout=10, request_timeout=60
    )
    return filesystem, path
