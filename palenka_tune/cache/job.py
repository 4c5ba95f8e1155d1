"""A cache to build: teachers, windows and plan, as plain data that every worker can be given, and its identity.

The fingerprint covers what shapes the cache's contents: the teachers' weights, the tokenizer, the text, the windows,
the layers, the form and its encoding. The `base` is the part that caches of different plans share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palenka_tune.cache.plan import Plan
from palenka_tune.config.artifacts import entry_of
from palenka_tune.config.files import fingerprint as digest
from palenka_tune.config.files import weights_digest
from palenka_tune.config.recipe import Precision
from palenka_tune.data.store import TokenStore
from palenka_tune.data.windows import Windows
from palenka_tune.storage.mirror import remote_of
from palenka_tune.teachers.spec import Teacher

CACHE_VERSION = 1
SHARD_BYTES = 64e6
BATCH_WINDOWS = 32
NOTES = "notes"  # of files in a remote storage that has no manifest yet


def base_of(
    store: TokenStore, teachers: Sequence[Teacher], windows: Windows, precision: Precision = "auto"
) -> dict[str, Any]:
    """Which teachers are run on which windows: caches with the same base differ only in what they keep."""
    base = {
        "version": CACHE_VERSION,
        "store": store.fingerprint,
        "tokenizer": store.manifest["shaped_by"]["tokenizer"],
        "teachers": [weights_digest(teacher.folder) for teacher in teachers],
        "windows": windows.digest(),
    }
    return base if precision == "auto" else base | {"precision": precision}


def folder_of(storage: str | Path, base: Mapping[str, Any], plan: Plan) -> Path:
    """Where the artifact of `plan` is, or will be."""
    name = f"{digest(base)[:8]}-{digest({'base': base, 'plan': plan.as_json()})}"
    return caches_folder(storage) / name


def caches_folder(storage: str | Path) -> Path:
    return Path(storage).absolute() / "artifacts" / "caches"


@dataclass(frozen=True, eq=False)
class CacheJob:
    """Everything that a process needs to write shards. `store`, `teachers` and `work` are folders that all nodes see,
    or mirrors of a remote storage: then every file that is written is uploaded at once to where the cache, `folder`,
    belongs. The windows are written in their order. Teachers that one GPU cannot hold are spread over `gpus`."""

    store: str
    teachers: tuple[str, ...]
    windows: Windows
    plan: Plan
    work: str
    rows_per_shard: int
    device: str = "cpu"
    folder: str = ""
    gpus: int = 1  # of a worker, where the device is one
    precision: Precision = "auto"

    def shards(self) -> list[tuple[str, int]]:
        """(split, number) of every shard."""
        return [
            (split, number)
            for split, rows in self.windows.rows.items()
            for number in range(-(-len(rows) // self.rows_per_shard))
        ]

    def span(self, split: str, number: int) -> slice:
        """The windows of a shard."""
        start = number * self.rows_per_shard
        return slice(start, min(start + self.rows_per_shard, len(self.windows.rows[split])))

    def size(self, split: str, number: int) -> int:
        """How many they are."""
        span = self.span(split, number)
        return int(span.stop - span.start)

    def path(self, split: str, number: int) -> Path:
        return Path(self.work) / shard_name(split, number)

    def written(self) -> set[tuple[str, int]]:
        """The shards that are complete, written by any node."""
        published = self.published()
        if published is None:
            return {shard for shard in self.shards() if self.path(*shard).exists()}
        return {shard for shard in self.shards() if shard_name(*shard) in published}

    def publish(self, path: Path) -> None:
        """Upload a file of the work folder to the cache's place in a remote storage, then a note of what it holds,
        without which it does not count."""
        found = remote_of(self.folder)
        if found is not None:
            remote, key = found
            remote.upload(path, f"{key}/{path.name}")
            remote.write_json(f"{key}/{NOTES}/{path.name}.json", entry_of(path))

    def published(self) -> dict[str, dict[str, Any]] | None:
        """{file: {bytes, sha256}} of what is in the remote storage; None for a folder that all nodes see."""
        found = remote_of(self.folder)
        if found is None:
            return None
        remote, key = found
        notes = [note for note in remote.keys(f"{key}/{NOTES}") if note.endswith(".json")]
        return {note.rpartition("/")[2].removesuffix(".json"): remote.read_json(note) for note in notes}

    def bring(self, name: str) -> Path:
        """The file `name` of the work folder, fetched if another node wrote it."""
        path = Path(self.work) / name
        found = remote_of(self.folder)
        if found is not None and not path.exists():
            found[0].download(f"{found[1]}/{name}", path)
        return path


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:05d}.arrow"


def rows_per_shard(plan: Plan, window: int) -> int:
    """Windows of a shard: about 64 MB, in whole batches."""
    rows = SHARD_BYTES / (plan.bytes_per_token() * window)
    return max(1, round(rows / BATCH_WINDOWS)) * BATCH_WINDOWS
