"""Find and read a text corpus in one of the layouts of the BabyLM challenge.

A folder goes in; out comes a `Corpus` that knows the files of each split and yields their cleaned lines one at a time.
Accepted layouts, side by side in one folder: split folders (`train/` or `train_10M/`, `dev/`, `test/`) that hold
`<source>.train`, `<source>.dev`, `<source>.test` or files of `formats.READERS`, in folders below too; or split files
(`train.txt`, `dev.jsonl`, ..., or `<source>.train` and so on). `valid` and `validation` mean dev. A file's stem names
its source, which picks the cleaning rules. A single file is split by its documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.config.files import file_sha256
from palenka_tune.data.cleaning import cleaner
from palenka_tune.data.formats import READERS, Document, documents, ending, is_text, parts, source_name
from palenka_tune.data.texts import Unit, texts
from palenka_tune.errors import UserError, closest

SPLITS = ("train", "dev", "test")
NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid"), "test": ("test",)}
LAYOUTS = (
    "accepted are split folders (train/ or train_10M/, dev/ or valid/, test/) holding <source>.train, <source>.dev, "
    ".txt, .md, .jsonl or .parquet files, or the files train.txt and dev.txt side by side"
)


@dataclass(frozen=True)
class SourceFile:
    """One text file of a split; `source` (its stem) picks the cleaning rules."""

    path: Path
    source: str
    split: str
    name: str = ""
    """Its path below the split's folder."""
    part: tuple[float, float] | None = None
    """Which documents are the split's (`formats.parts`); None: all."""

    @property
    def size(self) -> int:
        """Bytes of the file, or about those of the part that is the split's."""
        low, high = self.part or (0.0, 1.0)
        return round(self.path.stat().st_size * (high - low))

    def raw_lines(self) -> Iterator[tuple[str, int]]:
        """(line, bytes it took in the file) pairs of all documents; raises `UserError` as `formats.documents` does."""
        for document in self.documents():
            yield from document

    def documents(self) -> Iterator[Document]:
        """The documents of the file, or of the part of it that is the split's, lazily."""
        return documents(self.path) if self.part is None else parts(self.path, *self.part)

    def texts(self, unit: Unit) -> Iterator[str]:
        """The cleaned texts of the file, each a `unit`, lazily."""
        clean = cleaner(self.source)
        for document in self.documents():
            yield from texts((clean(raw) for raw, _ in document), unit)


@dataclass(frozen=True)
class Corpus:
    """The files of each split, sorted by name; `train` and `dev` are never empty, `test` may be absent."""

    folder: Path
    splits: dict[str, list[SourceFile]]
    left_out: tuple[Path, ...] = ()
    """Files of the split folders that are none of text."""

    @property
    def files(self) -> list[SourceFile]:
        """All files, split by split."""
        return [file for files in self.splits.values() for file in files]

    def lines(self, split: str) -> Iterator[str]:
        """The cleaned non-empty lines of `split` in file order, lazily."""
        return self.texts(split, "line")

    def texts(self, split: str, unit: Unit) -> Iterator[str]:
        """The cleaned texts of `split`, each a `unit`, in file order, lazily."""
        for file in self.splits[split]:
            yield from file.texts(unit)

    def digests(self, split: str) -> list[tuple[str, str]]:
        """(file's path in its split, SHA-256 of its bytes) of each file of `split`: what a fingerprint of the text is
        made of."""
        return [(file.name, file_sha256(file.path)) for file in self.splits[split]]

    def describe(self) -> list[str]:
        """What is read of each split and what is left out, with sizes."""
        lines = [f"{split}: {_listed([file.path for file in files])}" for split, files in self.splits.items()]
        return lines + ([f"left out, as no text: {_listed(self.left_out)}"] if self.left_out else [])


def open_corpus(folder: str | Path, dev_fraction: float | None = None) -> Corpus:
    """Find the splits of the corpus in `folder`, or split a single file: `dev_fraction` of its documents are dev.

    Raises `UserError` if it is missing, incomplete or ambiguous.
    """
    root = Path(folder).expanduser()
    if not root.exists():
        siblings = [item.name for item in root.parent.iterdir() if item.is_dir()] if root.parent.is_dir() else []
        hint = closest(root.name, [*siblings, "babytalk"])
        raise UserError(f"the data folder {folder} does not exist{hint}; {LAYOUTS}")
    if not root.is_dir():
        return _single(root, dev_fraction)
    if dev_fraction is not None:
        raise UserError(
            f"data.dev_fraction splits a single file, and {folder} is a folder; leave it out, or give a file"
        )
    entries = sorted(item for item in root.iterdir() if not item.name.startswith("."))
    if not entries:
        raise UserError(f"the data folder {folder} is empty; {LAYOUTS}")
    by_split = {split: _split_files(root, entries, split) for split in SPLITS}
    splits = {split: files for split, (files, _) in by_split.items() if files}
    for split in ("train", "dev"):
        if split not in splits:
            found = ", ".join(item.name + "/" * item.is_dir() for item in entries[:8])
            raise UserError(f"the data folder {folder} has no {split} split (it holds {found}); {LAYOUTS}")
    return Corpus(root, splits, tuple(path for _, others in by_split.values() for path in others))


def _single(path: Path, dev_fraction: float | None) -> Corpus:
    """A file of which some documents are train and the others dev."""
    if dev_fraction is None:
        raise UserError(
            f"{path} is a file; --set data.dev_fraction=0.05 keeps a twentieth of its documents as dev, or give the "
            f"folder that holds it: {LAYOUTS}"
        )
    if not is_text(path):
        raise UserError(f"{path} is no file of text; give one that ends in {', '.join(READERS)}")
    shares = {"train": (dev_fraction, 1.0), "dev": (0.0, dev_fraction)}
    return Corpus(
        path.parent,
        {
            split: [SourceFile(path, source_name(path), split, f"{path.name} {split} {dev_fraction}", part)]
            for split, part in shares.items()
        },
    )


def _split_files(root: Path, entries: list[Path], split: str) -> tuple[list[SourceFile], list[Path]]:
    """The files of one split, and what else is in its folder; more than one folder, or a folder beside a file, cannot
    be told apart and is refused."""
    folders = [item for item in entries if item.is_dir() and _names_split(item.name, split)]
    flat = [item for item in entries if item.is_file() and _is_split_file(item, split)]
    candidates = [f"{item.name}/" for item in folders] + [item.name for item in flat if is_text(item)]
    if len(candidates) > 1 or (folders and flat):
        both = " and ".join(candidates + [item.name for item in flat if not is_text(item)])
        raise UserError(
            f"{root} holds {both}, and it cannot be told which is the {split} split; keep one of them in the folder"
        )
    others: list[Path] = []
    if folders:
        suffixes = [*(f".{name}" for name in NAMES[split]), *READERS]
        files = [item for item in sorted(folders[0].rglob("*")) if not item.is_dir() and not _hidden(item, root)]
        flat = [item for item in files if ending(item) in suffixes and (is_text(item) or ending(item) not in READERS)]
        others = [item for item in files if item not in flat]
        if not flat:
            raise UserError(f"{folders[0]} holds no file that ends in {', '.join(suffixes)}; {LAYOUTS}")
    for item in flat:
        if not item.exists():
            raise UserError(f"{item} is a link to a file that is not there; mend it or remove it")
    if flat and not any(item.stat().st_size for item in flat):
        raise UserError(f"every file of the {split} split in {root} is empty; give files with text in them")
    base = folders[0] if folders else root
    return [SourceFile(path, source_name(path), split, path.relative_to(base).as_posix()) for path in flat], others


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _listed(paths: Sequence[Path], most: int = 6) -> str:
    """Names with sizes, the largest first, no more than a few."""
    sizes = sorted(((path.stat().st_size, path.name) for path in paths if path.exists()), reverse=True)
    shown = [f"{name} ({size / 1e6:,.2f} MB)" for size, name in sizes[:most]]
    more = [f"and {len(sizes) - most} more"] if len(sizes) > most else []
    return f"{len(sizes)} files, {sum(size for size, _ in sizes) / 1e6:,.2f} MB: {', '.join(shown + more)}"


def _names_split(name: str, split: str) -> bool:
    """Whether a name is `train`, `train_10M`, `train-small`, `train10M`, ..., but not `trainer`."""
    return any(re.fullmatch(rf"{known}([^a-z].*)?", name) for known in NAMES[split])


def _is_split_file(path: Path, split: str) -> bool:
    """Whether a file at the top of the corpus belongs to `split`: `train.txt`, `train_1M.jsonl` or `<source>.train`."""
    if is_text(path):
        return _names_split(source_name(path), split)
    return ending(path) in {f".{name}" for name in NAMES[split]}
