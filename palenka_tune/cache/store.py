"""A complete cache on disk: checked when it is opened, mapped without a copy.

Opening compares each file's size with the manifest, and its contents too (SHA-256) if the file was touched since they
were last compared: `.checked.json` beside the files keeps their modification times. `verify=True` always compares
contents. `check` compares a cache with the teachers and the tokenizer that it is about to be used with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from palenka_tune.cache.job import CACHE_VERSION, shard_name
from palenka_tune.cache.plan import gigabytes, hidden_name
from palenka_tune.cache.shards import ShardedColumn, map_columns
from palenka_tune.cache.writer import FIELDS, HEADS, STATISTICS
from palenka_tune.config.artifacts import MANIFEST, is_complete, open_artifact
from palenka_tune.config.files import file_sha256, read_json, weights_digest, write_json
from palenka_tune.data.store import TokenStore
from palenka_tune.data.windows import Windows
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.distill.statistics import LayerStatistics
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.teachers.spec import Teacher

CHECKED = ".checked.json"
REBUILD = "delete that folder and run the command again, which builds it anew"


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """Open one with `TeacherCache.open`. Pickles as its folder, so that a worker maps it anew."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = False) -> TeacherCache:
        """Raises `PalenkaError` with what to do for a cache that is missing, incomplete, damaged or of another
        version."""
        folder = Path(folder).absolute()
        if not is_complete(folder):
            what = "does not exist" if not folder.exists() else f"has no {MANIFEST}, so it was never completed"
            raise PalenkaError(f"the teacher cache {folder} {what}; {REBUILD}")
        try:
            manifest = open_artifact(folder)
        except PalenkaError as error:
            raise PalenkaError(
                f"the teacher cache {folder} is damaged: {str(error).partition(';')[0]}; {REBUILD}"
            ) from None
        if not isinstance(manifest, dict) or manifest.get("kind") != "teacher cache":
            raise PalenkaError(f"{folder} is not a teacher cache; give a folder of artifacts/caches")
        if manifest.get("version") != CACHE_VERSION:
            raise PalenkaError(
                f"the teacher cache {folder} is of version {manifest.get('version')} and not {CACHE_VERSION}; {REBUILD}"
            )
        _compare_contents(folder, manifest, everything=verify)
        cache = cls(folder, manifest)
        _ = cache.columns  # maps every shard, and so checks it
        return cache

    def __reduce__(self) -> tuple[Any, ...]:
        return (TeacherCache.open, (self.folder,))

    @property
    def teachers(self) -> tuple[ModelShape, ...]:
        return tuple(ModelShape(**shape) for shape in self.manifest["teachers"])

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @cached_property
    def columns(self) -> dict[str, dict[str, ShardedColumn]]:
        """{split: {name: column}}: every stored column as one logical array; nothing is read before it is asked for."""
        rows = self.manifest["rows_per_shard"]
        mapped = {}
        for split, count in self.manifest["windows"].items():
            paths = [self.folder / shard_name(split, number) for number in range(-(-count // rows))]
            mapped[split] = map_columns(paths, self.manifest["columns"], rows)
        return mapped

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        """Mean and principal components of a hidden state over train."""
        tensors = self._tensors(STATISTICS)
        fields = {field: tensors.get(f"{hidden_name(teacher, layer)}.{field}") for field in FIELDS}
        if any(value is None for value in fields.values()):
            raise PalenkaError(f"the teacher cache {self.folder} has no state {layer} of teacher {teacher}; {REBUILD}")
        return LayerStatistics(**fields)  # type: ignore[arg-type]

    def variances(self, teacher: int, layer: int) -> Tensor:
        """Variance of each principal component of a hidden state over train (E,), the largest first; nothing else of
        the statistics is read."""
        name = f"{hidden_name(teacher, layer)}.variances"
        try:
            with safe_open(self.folder / STATISTICS, framework="pt") as file:
                return file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise PalenkaError(f"{self.folder / STATISTICS} has no {name} ({error}); {REBUILD}") from None

    def heads(self) -> list[OutputHead]:
        """The teachers' output heads in float32."""
        tensors = self._tensors(HEADS)
        return [OutputHead(tensors[f"weight{k}"], tensors.get(f"bias{k}")) for k in range(len(self.teachers))]

    def _tensors(self, name: str) -> dict[str, Tensor]:
        try:
            return load_file(self.folder / name)
        except (OSError, SafetensorError) as error:
            raise PalenkaError(f"{self.folder / name} is damaged ({error}); {REBUILD}") from None

    def check(self, teachers: Sequence[Teacher], store: TokenStore) -> None:
        """Raise `UserError` unless this cache was made by these teachers with this tokenizer from this text."""
        base = self.manifest["base"]
        if base["tokenizer"] != store.manifest["shaped_by"]["tokenizer"]:
            theirs, ours = base["tokenizer"][:12], store.manifest["shaped_by"]["tokenizer"][:12]
            raise UserError(self._unfit(f"was made with another tokenizer ({theirs}) than the data's ({ours})"))
        if base["store"] != store.fingerprint:
            differs = f"was made from other text ({base['store']}) than this data ({store.fingerprint})"
            raise UserError(self._unfit(differs))
        for shape, theirs, teacher in zip(self.teachers, base["teachers"], teachers, strict=True):
            ours = weights_digest(teacher.folder)
            if ours != theirs:
                made_by = f"was made by another teacher ({shape.name}, weights {theirs})"
                raise UserError(self._unfit(f"{made_by} than {teacher.folder} (weights {ours})"))

    def check_windows(self, windows: Windows) -> None:
        """Raise `PalenkaError` unless these are the windows that were cached, in this order."""
        if self.manifest["base"]["windows"] != windows.digest():
            raise PalenkaError(self._unfit("holds other windows than the student's"))

    def _unfit(self, how: str) -> str:
        return f"the teacher cache {self.folder} {how}; build one: python -m palenka_tune.cache build"

    def metrics(self) -> dict[str, float]:
        """Size in bytes, and the share of the variance that the kept components of each hidden state explain."""
        sizes = {"cache/bytes": self.bytes, "cache/bytes_per_token": self.manifest["bytes_per_token"]}
        return sizes | {f"cache/explained/{name}": share for name, share in self.explained().items()}

    def explained(self) -> dict[str, float]:
        """Of each hidden state that is kept as components, the share of its variance that they explain."""
        return {
            f"{self.teachers[number].name}_state{layer}": self.statistics(number, int(layer)).explained(components)
            for number, layers in enumerate(self.manifest["plan"]["layers"])
            for layer, components in layers.items()
            if components is not None
        }

    def describe(self) -> str:
        """One line: windows, size, what is kept."""
        windows = ", ".join(f"{count:,} {split}" for split, count in self.manifest["windows"].items())
        return f"{windows} windows, {gigabytes(self.bytes)}, {self.manifest['description']}"


def mark_checked(folder: Path, manifest: dict[str, Any]) -> None:
    """Note that the contents were compared, or hashed, as the files are now."""
    with contextlib.suppress(OSError):  # a read-only storage is compared on every open
        write_json(folder / CHECKED, {name: (folder / name).stat().st_mtime_ns for name in manifest["files"]})


def _compare_contents(folder: Path, manifest: dict[str, Any], *, everything: bool) -> None:
    """Compare the SHA-256 of every file that changed since the last comparison (of all if `everything`)."""
    stamps = {name: (folder / name).stat().st_mtime_ns for name in manifest["files"]}
    known: dict[str, int] = {}
    with contextlib.suppress(PalenkaError):
        known = read_json(folder / CHECKED)
    stale = [name for name in stamps if everything or known.get(name) != stamps[name]]
    for name in stale:
        if file_sha256(folder / name) != manifest["files"][name]["sha256"]:
            raise PalenkaError(f"the teacher cache {folder} is damaged: {name} is not what was written; {REBUILD}")
    if stale:
        mark_checked(folder, manifest)
