"""Find and read a text corpus in one of the layouts of the BabyLM challenge.

A folder goes in; out comes a `Corpus` that knows the files of each split and yields their cleaned lines one at a time.
Accepted layouts, side by side in one folder: split folders (`train/` or `train_10M/`, `dev/`, `test/`) that hold
`<source>.train`, `<source>.dev`, `<source>.test` or `<source>.txt`; or split files (`train.txt`, `dev.txt`, ...,
or `<source>.train` and so on). `valid` and `validation` mean dev. A file's stem names its source, which picks the
cleaning rules. Lines are the unit: a blank line is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.config.files import file_sha256
from palenka_tune.data.cleaning import cleaner
from palenka_tune.errors import UserError, closest

SPLITS = ("train", "dev", "test")
NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid"), "test": ("test",)}
LAYOUTS = (
    "accepted are split folders (train/ or train_10M/, dev/ or valid/, test/) holding <source>.train, <source>.dev or "
    ".txt files, or the files train.txt and dev.txt side by side"
)


@dataclass(frozen=True)
class SourceFile:
    """One text file of a split; `source` (its stem) picks the cleaning rules."""

    path: Path
    source: str
    split: str

    def raw_lines(self) -> Iterator[tuple[str, int]]:
        """(line, bytes it took in the file) pairs; raises `UserError` with the byte offset of the first bad byte."""
        offset = 0
        try:
            opened = self.path.open("rb")
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror}); make it readable or remove it") from None
        with opened as file:
            for raw in file:
                try:
                    text = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{self.path} is not UTF-8: byte 0x{raw[error.start]:02x} at byte offset {offset + error.start}"
                        " cannot be read; convert the file to UTF-8 (for example with iconv)"
                    ) from None
                if offset == 0:
                    text = text.removeprefix("\ufeff")
                offset += len(raw)
                parts = text.rstrip("\r\n").split("\r")  # a lone carriage return ends a line too
                for index, part in enumerate(parts):
                    yield part, len(raw) if index == 0 else 0

    def lines(self) -> Iterator[str]:
        """The non-empty cleaned lines of the file, lazily."""
        clean = cleaner(self.source)
        for raw, _ in self.raw_lines():
            if line := clean(raw):
                yield line


@dataclass(frozen=True)
class Corpus:
    """The files of each split, sorted by name; `train` and `dev` are never empty, `test` may be absent."""

    folder: Path
    splits: dict[str, list[SourceFile]]

    @property
    def files(self) -> list[SourceFile]:
        """All files, split by split."""
        return [file for files in self.splits.values() for file in files]

    def lines(self, split: str) -> Iterator[str]:
        """The cleaned non-empty lines of `split` in file order, lazily."""
        for file in self.splits[split]:
            yield from file.lines()

    def digests(self, split: str) -> list[tuple[str, str]]:
        """(file name, SHA-256 of its bytes) of each file of `split`: what a fingerprint of the text is made of."""
        return [(file.path.name, file_sha256(file.path)) for file in self.splits[split]]


def open_corpus(folder: str | Path) -> Corpus:
    """Find the splits of the corpus in `folder`; raises `UserError` if it is missing, incomplete or ambiguous."""
    root = Path(folder).expanduser()
    if not root.exists():
        siblings = [item.name for item in root.parent.iterdir() if item.is_dir()] if root.parent.is_dir() else []
        hint = closest(root.name, [*siblings, "babytalk"])
        raise UserError(f"the data folder {folder} does not exist{hint}; {LAYOUTS}")
    if not root.is_dir():
        raise UserError(f"the data folder {folder} is a file; give the folder that holds it: {LAYOUTS}")
    entries = sorted(item for item in root.iterdir() if not item.name.startswith("."))
    if not entries:
        raise UserError(f"the data folder {folder} is empty; {LAYOUTS}")
    splits = {split: files for split in SPLITS if (files := _split_files(root, entries, split))}
    for split in ("train", "dev"):
        if split not in splits:
            found = ", ".join(item.name + "/" * item.is_dir() for item in entries[:8])
            raise UserError(f"the data folder {folder} has no {split} split (it holds {found}); {LAYOUTS}")
    return Corpus(root, splits)


def _split_files(root: Path, entries: list[Path], split: str) -> list[SourceFile]:
    """The files of one split; more than one folder, or a folder beside a file, cannot be told apart and is refused."""
    folders = [item for item in entries if item.is_dir() and _names_split(item.name, split)]
    flat = [item for item in entries if item.is_file() and _is_split_file(item, split)]
    candidates = [f"{item.name}/" for item in folders] + [item.name for item in flat if item.suffix == ".txt"]
    if len(candidates) > 1 or (folders and flat):
        both = " and ".join(candidates + [item.name for item in flat if item.suffix != ".txt"])
        raise UserError(
            f"{root} holds {both}, and it cannot be told which is the {split} split; keep one of them in the folder"
        )
    if folders:
        suffixes = {f".{name}" for name in NAMES[split]} | {".txt"}
        flat = sorted(item for item in folders[0].iterdir() if item.is_file() and item.suffix in suffixes)
        flat = [item for item in flat if not item.name.startswith(".")]
        if not flat:
            raise UserError(f"{folders[0]} holds no file that ends in {' or '.join(sorted(suffixes))}; {LAYOUTS}")
    if flat and not any(item.stat().st_size for item in flat):
        raise UserError(f"every file of the {split} split in {root} is empty; give files with text in them")
    return [SourceFile(path, path.stem, split) for path in flat]


def _names_split(name: str, split: str) -> bool:
    """Whether a name is `train`, `train_10M`, `train-small`, `train10M`, ..., but not `trainer`."""
    return any(re.fullmatch(rf"{known}([^a-z].*)?", name) for known in NAMES[split])


def _is_split_file(path: Path, split: str) -> bool:
    """Whether a file at the top of the corpus belongs to `split`: `train.txt`, `train_10M.txt` or `<source>.train`."""
    if path.suffix == ".txt":
        return _names_split(path.stem, split)
    return path.suffix in {f".{name}" for name in NAMES[split]}
