"""Find and read a text corpus in one of the layouts of the BabyLM challenge.

A folder goes in; out comes a `Corpus` that knows the files of each split and yields their cleaned lines one at a time.
Accepted layouts, side by side in one folder: split folders (`train/` or `train_10M/`, `dev/`, `test/`) that hold
`<source>.train`, `<source>.dev`, `<source>.test` or files of `formats.READERS`, in folders below too; or split files
(`train.txt`, `dev.jsonl`, ..., or `<source>.train` and so on). `valid` and `validation` mean dev. A file's stem names
its source, which picks the cleaning rules. A single file is split by its documents.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from palenka_tune.config.files import file_sha256
from palenka_tune.data.cleaning import cleaner
from palenka_tune.data.formats import READERS, Document, documents, ending, is_text, parts, source_name
from palenka_tune.data.texts import Unit, Wrapped, texts
from palenka_tune.errors import UserError, closest
from palenka_tune.words import plural

SPLITS = ("train", "dev", "test")
NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid"), "test": ("test",)}
KINDS = ".train, .dev and .test, " + ", ".join(READERS) + ", each also with .gz"
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

    def looks_wrapped(self) -> bool:
        """Whether most lines at the beginning of the file end in mid-sentence."""
        clean, wrapped = cleaner(self.source), Wrapped()
        for raw, _ in islice(self.raw_lines(), Wrapped.MOST):
            wrapped.see(clean(raw))
        return wrapped.found

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
    ignored: tuple[Path, ...] = ()
    """What is in the folder and not read: files of no kind of text, and what belongs to no split."""

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
        """What is read of each split, with sizes, a line each."""
        return [f"{split}: {_listed([file.path for file in files])}" for split, files in self.splits.items()]

    def describe_ignored(self) -> list[str]:
        """What is not read, with sizes, in a line if there is anything."""
        return [f"not read: {_listed(self.ignored)}; read are {KINDS}"] if self.ignored else []


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
    for item in entries:
        _check_link(item)
    by_split = {split: _split_files(root, entries, split) for split in SPLITS}
    splits = {split: files for split, (files, _) in by_split.items() if files}
    for split in ("train", "dev"):
        if split not in splits:
            found = ", ".join(item.name + "/" * item.is_dir() for item in entries[:8])
            raise UserError(f"the data folder {folder} has no {split} split (it holds {found}); {LAYOUTS}")
    read = {file.path for files in splits.values() for file in files}
    beside = [item for item in entries if item not in read and not any(item in path.parents for path in read)]
    return Corpus(root, splits, (*(path for _, others in by_split.values() for path in others), *beside))


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
        files = _files_below(folders[0])
        flat = [item for item in files if ending(item) in suffixes and (is_text(item) or ending(item) not in READERS)]
        others = [item for item in files if item not in flat]
        if not flat:
            raise UserError(f"{folders[0]} holds no file that ends in {', '.join(suffixes)}; {LAYOUTS}")
    if flat and not any(item.stat().st_size for item in flat):
        raise UserError(f"every file of the {split} split in {root} is empty; give files with text in them")
    base = folders[0] if folders else root
    return [SourceFile(path, source_name(path), split, path.relative_to(base).as_posix()) for path in flat], others


def _files_below(folder: Path) -> list[Path]:
    """The files below a folder, also those of linked folders, without hidden ones; each folder is entered once."""
    found, entered = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    for path in found:
        _check_link(path)
    return sorted(found)


def _check_link(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path} is a link to a file that is not there; mend it or remove it")


def _listed(paths: Sequence[Path], most: int = 6) -> str:
    """Names with sizes, the largest first, no more than a few; folders by their names."""
    files = sorted(((path.stat().st_size, path.name) for path in paths if path.is_file()), reverse=True)
    names = [f"{path.name}/" for path in paths if path.is_dir()]
    names += [f"{name} ({size / 1e6:,.2f} MB)" for size, name in files]
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    sizes = f"{plural(len(files), 'file')}, {sum(size for size, _ in files) / 1e6:,.2f} MB: " if files else ""
    return sizes + ", ".join(names[:most] + more)


def _names_split(name: str, split: str) -> bool:
    """Whether a name is `train`, `train_10M`, `train-small`, `train10M`, ..., but not `trainer`."""
    return any(re.fullmatch(rf"{known}([^a-z].*)?", name) for known in NAMES[split])


def _is_split_file(path: Path, split: str) -> bool:
    """Whether a file at the top of the corpus belongs to `split`: `train.txt`, `train_1M.jsonl` or `<source>.train`."""
    if is_text(path):
        return _names_split(source_name(path), split)
    return ending(path) in {f".{name}" for name in NAMES[split]}
