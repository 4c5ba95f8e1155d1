"""From `DataSettings` to a token store: check the input cheaply, then build or reuse every artifact.

In goes the name of a corpus (`babytalk`, a folder, or a Hugging Face dataset id), a vocabulary and a window; out comes
`PreparedData` with the tokenizer folder and the token store. Everything is content-addressed under
`storage/artifacts/`: `corpora/` (generated or downloaded text), `tokenizers/`, `tokens/`. A changed byte in the text
gives other fingerprints, and the same text under another path gives the same ones.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from palenka_tune.config.artifacts import build_once, open_artifact
from palenka_tune.config.files import check_writable, file_sha256, fingerprint
from palenka_tune.data import given_tokenizer, hub
from palenka_tune.data.cleaning import CLEANING_VERSION, cleaner
from palenka_tune.data.corpus import Corpus, SourceFile, open_corpus
from palenka_tune.data.formats import Document
from palenka_tune.data.store import STORE_VERSION, Around, TokenStore, write_split
from palenka_tune.data.texts import Unit, texts
from palenka_tune.data.tokenizer import TOKENIZER_VERSION, VOCABULARY, load_tokenizer, save_tokenizer, train_tokenizer
from palenka_tune.errors import UserError
from palenka_tune.limits import Limits, Strict, check_fields

logger = logging.getLogger(__name__)
BABYTALK = "babytalk"
TRAIN, TEACHER = "train", "teacher"
LOG_SECONDS = 5.0
LONG, FEWEST = 11, 50  # blanks of a line that nobody writes twice by chance; such lines below which nothing is said
MOST_SHARED = 0.5
NO_WORDS = hashlib.sha256().digest()
GLANCE = 20e6  # bytes of a corpus that takes no more than a few seconds to read
LOOKED_AT, NAMED = 50, 3  # files, the largest, whose beginnings are looked at, and files that a line names


@dataclass(frozen=True)
class DataSettings(Strict):
    """What to train on: `source` is `babytalk`, a corpus folder or a Hugging Face dataset id (`owner/name`).

    `tokenizer` is `train` (byte-level BPE on the corpus, with at most `vocabulary` entries), the folder of a tokenizer
    that exists, or `teacher`, the first given teacher's (None: `teacher` if a teacher is given, else `train`). `unit`
    is what stands between its start and end token, `separator` a token that stands between texts in their place.
    `window` is the length of a training window in tokens. Where `source` is a single file, `dev_fraction` of its
    documents are dev.
    """

    source: str = BABYTALK
    vocabulary: Annotated[int, VOCABULARY] = 2048
    window: Annotated[int, Limits(ge=2, le=8192, hint=" tokens, for example 128")] = 64
    tokenizer: str | None = None
    separator: str | None = None
    unit: Unit = "line"
    dev_fraction: Annotated[float, Limits(gt=0, lt=1, hint=", such as 0.05")] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.separator is not None and self.tokenizer == TRAIN:
            raise UserError(
                "data.separator names a token of a tokenizer that exists, but data.tokenizer is train; leave one out"
            )
        if self.dev_fraction is not None and (self.source == BABYTALK or hub.is_dataset_id(self.source)):
            raise UserError(f"data.dev_fraction splits a single file, and {self.source} has splits; leave it out")
        if not self.source.strip():
            raise UserError(
                "the data source is empty; give babytalk, a corpus folder or a Hugging Face dataset id (owner/name)"
            )

    @property
    def is_given(self) -> bool:
        """Whether the tokenizer exists, in a folder."""
        return self.tokenizer not in (None, TRAIN, TEACHER)


@dataclass(frozen=True)
class Notes:
    """What a person should know of a corpus: a line for each split that is `read`, and `doubts` about what may not be
    meant (files that are not read, text that looks hard-wrapped)."""

    read: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedData:
    """A corpus, in the folder `corpus`, made ready for training.

    `fingerprint` covers text, cleaning, tokenizer and window.
    """

    source: str
    tokenizer_dir: Path
    store: TokenStore
    fingerprint: str
    minimal_pairs: Path | None
    corpus: Path

    @property
    def name(self) -> str:
        """What the corpus is called where paths of this machine do not belong: cards, tables, plots."""
        if self.source == BABYTALK or hub.is_dataset_id(self.source):
            return self.source
        return Path(self.source).expanduser().resolve().name

    def describe(self) -> str:
        """One line: name, words, tokens per split, vocabulary, window, fingerprint."""
        store = self.store
        words = sum(store.words(split) for split in store.splits)
        tokens = ", ".join(f"{split} {store.tokens(split):,}" for split in store.splits)
        return (
            f"{self.name}: {words:,} words; tokens {tokens}; vocabulary {store.vocabulary_size:,}, "
            f"windows of {store.window} ({self.fingerprint})"
        )


def check(settings: DataSettings) -> Notes:
    """Raise `UserError` for everything that can be refused before work starts, and write nothing.

    A folder is checked for its splits, for UTF-8 in every file, for text in train and dev, and for dev text that is
    train's too; a dataset id for the library that loads it. The exact sizes in tokens are known to `prepare` only.

    Returns what a person should know of a folder or file before it is trained on.
    """
    if settings.source == BABYTALK:
        return Notes()
    if hub.is_dataset_id(settings.source):
        hub.require_datasets(settings.source)
        return Notes()
    corpus = open_corpus(settings.source, settings.dev_fraction)
    seen: dict[bytes, SourceFile] = {}  # by what their lines say
    dev: set[int] = set()  # hashes of long lines
    shared: set[int] = set()
    copies: dict[Path, SourceFile] = {}  # files of dev that are one of train
    for split, files in sorted(corpus.splits.items(), key=lambda item: item[0] != "dev"):
        # No line has more tokens than bytes, the prefix space, <s> and </s>: a bound that holds for any tokenizer.
        bound = 0
        for file in files:
            clean, said = cleaner(file.source), hashlib.sha256()
            for raw, _ in file.raw_lines():
                said.update(f"{raw.strip()}\n".lstrip("\n").encode())
                compared = split != "test" and raw.count(" ") >= LONG
                if bound >= settings.window and not compared:
                    continue
                line = clean(raw)
                bound += len(line.encode()) + 3 if line else 0
                if compared and line.count(" ") >= LONG:
                    known = hash(line)
                    if split == "dev":
                        dev.add(known)
                    elif known in dev:
                        shared.add(known)
            other = seen.setdefault(said.digest(), file)
            if said.digest() != NO_WORDS and split == "train" and other.split == "dev":
                copies[other.path] = file
        if split in ("train", "dev") and bound < settings.window:
            raise _too_small(split, f"at most {bound}", settings)
    sizes = {file.path: file.path.stat().st_size for file in corpus.splits["dev"]}
    if sum(sizes[path] for path in copies) > MOST_SHARED * sum(sizes.values()):
        path, file = next(iter(copies.items()))
        raise UserError(
            f"{path} of dev has the same lines as {file.path} of train, so that dev would measure what was learnt by "
            "heart; give a dev split of other text"
        )
    share = len(shared) / max(1, len(dev))
    if share > MOST_SHARED and len(dev) >= FEWEST:
        raise UserError(
            f"{100 * share:.0f} % of the long lines of dev are in train of {settings.source} too, so that dev would "
            "measure what was learnt by heart; give a dev split of other text"
        )
    found = notes(corpus, settings.unit)
    doubts = [f"{path.name} of dev has the same lines as {file.path.name} of train" for path, file in copies.items()]
    return replace(found, doubts=(*found.doubts, *doubts))


def glance(settings: DataSettings) -> Notes:
    """As `check`, but of a corpus of more than a few megabytes the beginnings of its files are read alone."""
    if settings.source == BABYTALK or hub.is_dataset_id(settings.source):
        return check(settings)
    corpus = open_corpus(settings.source, settings.dev_fraction)
    return check(settings) if sum(file.size for file in corpus.files) < GLANCE else notes(corpus, settings.unit)


def notes(corpus: Corpus, unit: Unit) -> Notes:
    """What is read of a corpus, what is not, and which files look hard-wrapped though a text is a line of them; raises
    `UserError` for a file whose beginning cannot be read."""
    files = sorted(corpus.files, key=lambda file: file.size, reverse=True)[:LOOKED_AT]
    wrapped = [file.path.name for file in files if file.looks_wrapped() and file.split == "train"]
    doubts = corpus.describe_ignored()
    if wrapped and unit == "line":
        more = f" and {len(wrapped) - NAMED} more" if len(wrapped) > NAMED else ""
        doubts.append(
            f"most lines of {', '.join(wrapped[:NAMED])}{more} end in mid-sentence: the text looks hard-wrapped, and "
            "every line is taken for a text of its own; --set data.unit=paragraph joins them"
        )
    return Notes(tuple(corpus.describe()), tuple(doubts))


def prepare(settings: DataSettings, storage: str | Path) -> PreparedData:
    """Build or reuse corpus, tokenizer and token store under `storage/artifacts`; `log` gets lines of progress.

    Raises `UserError` for an input that cannot work, `PalenkaError` for a damaged artifact.
    """
    artifacts = check_writable(storage) / "artifacts"
    minimal_pairs = None
    if settings.source == BABYTALK:
        folder = _babytalk(artifacts)
        corpus, minimal_pairs = open_corpus(folder), folder / "minimal_pairs"
    elif hub.is_dataset_id(settings.source):
        corpus = open_corpus(hub.download(settings.source, artifacts / "corpora"))
    else:
        corpus = open_corpus(settings.source, settings.dev_fraction)
    digests = {split: corpus.digests(split) for split in corpus.splits}
    if settings.is_given:
        tokenizer_dir, around = _given(settings, artifacts)
    else:
        tokenizer_dir, around = _tokenizer(corpus, digests["train"], settings, artifacts), Around()
    store = _tokens(corpus, digests, tokenizer_dir, around, settings, artifacts)
    return PreparedData(
        settings.source, tokenizer_dir, store, store.fingerprint, minimal_pairs, corpus.folder.absolute()
    )


def _babytalk(artifacts: Path) -> Path:
    """The generated corpus with its minimal pairs, written once a version."""
    from palenka_tune.data import babytalk

    shaped_by = {"babytalk": babytalk.VERSION, "words": babytalk.WORDS}
    folder = artifacts / "corpora" / f"{BABYTALK}-{fingerprint(shaped_by)}"

    def build(temporary: Path) -> dict[str, Any]:
        logger.info("writing the babytalk corpus")
        babytalk.write_corpus(temporary)
        babytalk.write_minimal_pairs(temporary / "minimal_pairs")
        return {"kind": "corpus", "source": BABYTALK, "version": babytalk.VERSION}

    build_once(folder, build)
    open_artifact(folder, verify=True)
    return folder


def _tokenizer(corpus: Corpus, train: list[tuple[str, str]], settings: DataSettings, artifacts: Path) -> Path:
    """The tokenizer folder for the text of train, its cleaning and the vocabulary."""
    shaped_by = {
        "train": train,
        "cleaning": CLEANING_VERSION,
        "tokenizer": TOKENIZER_VERSION,
        "vocabulary": settings.vocabulary,
    }
    folder = artifacts / "tokenizers" / fingerprint(shaped_by)

    def build(temporary: Path) -> dict[str, Any]:
        lines = _with_progress(corpus, "train", "reading train for the tokenizer")
        tokenizer = train_tokenizer(lines, settings.vocabulary)
        save_tokenizer(tokenizer, temporary)
        size = tokenizer.get_vocab_size()
        logger.info(f"tokenizer trained: {size:,} of at most {settings.vocabulary:,} entries")
        return {"kind": "tokenizer", "fingerprint": folder.name, "vocabulary_size": size, "shaped_by": shaped_by}

    build_once(folder, build)
    open_artifact(folder, verify=True)
    return folder


def _given(settings: DataSettings, artifacts: Path) -> tuple[Path, Around]:
    """The folder of a tokenizer that exists, as we keep it, and the ids that it puts around a text."""
    source = str(settings.tokenizer)
    shaped_by = {"given": given_tokenizer.digest(source), "separator": settings.separator}
    folder = artifacts / "tokenizers" / fingerprint(shaped_by)

    def build(temporary: Path) -> dict[str, Any]:
        tokenizer = given_tokenizer.open_tokenizer(source, settings.separator)
        tokenizer.save(temporary)
        logger.info(f"tokenizer {Path(source).name}: {tokenizer.size:,} ids, {tokenizer.describe_ends()}")
        kept = {"kind": "tokenizer", "fingerprint": folder.name, "vocabulary_size": tokenizer.size}
        return {**kept, "around": asdict(tokenizer.around), "shaped_by": shaped_by}

    build_once(folder, build)
    return folder, Around(**open_artifact(folder, verify=True)["around"])


def _tokens(
    corpus: Corpus,
    digests: dict[str, list[tuple[str, str]]],
    tokenizer_dir: Path,
    around: Around,
    settings: DataSettings,
    artifacts: Path,
) -> TokenStore:
    """The token store for all splits; train and dev must fill a window."""
    shaped_by = {
        "text": digests,
        "cleaning": CLEANING_VERSION,
        "tokenizer": file_sha256(tokenizer_dir / "tokenizer.json"),
        "store": STORE_VERSION,
        "window": settings.window,
    }
    if around != Around():  # what is the same as before keeps its fingerprint
        shaped_by["around"] = asdict(around)
    if settings.unit != "line":
        shaped_by["unit"] = settings.unit
    folder = artifacts / "tokens" / fingerprint(shaped_by)

    def build(temporary: Path) -> dict[str, Any]:
        tokenizer = load_tokenizer(tokenizer_dir)
        size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
        told = notes(corpus, settings.unit) if settings.source != BABYTALK else Notes()
        for line in (*told.read, *told.doubts):
            logger.info(line)
        splits = {}
        for split in corpus.splits:
            units = _with_progress(corpus, split, f"encoding {split}", settings.unit)
            counts = write_split(temporary, split, units, tokenizer, settings.window, around, size)
            if split in ("train", "dev") and counts["tokens"] < settings.window:
                raise _too_small(split, str(counts["tokens"]), settings)
            if counts["windows"] or around.pad is not None:
                splits[split] = counts
            else:
                logger.info(f"{split} fills no window of {settings.window} tokens and is left out")
        return {
            "kind": "token store",
            "version": STORE_VERSION,
            "fingerprint": folder.name,
            "vocabulary_size": size,
            "around": asdict(around),
            "rules": given_tokenizer.rules_digest(tokenizer),
            "window": settings.window,
            "splits": splits,
            "shaped_by": shaped_by,
        }

    build_once(folder, build)
    return TokenStore.open(folder, verify=True)


def _too_small(split: str, tokens: str, settings: DataSettings) -> UserError:
    return UserError(
        f"the {split} split of {settings.source} has {tokens} tokens, which is less than one window of "
        f"{settings.window}; add text to {split} or set window to a smaller number"
    )


def _with_progress(corpus: Corpus, split: str, doing: str, unit: Unit = "line") -> Iterator[str]:
    """The cleaned texts of `split`, with a line of progress in percent of bytes every few seconds."""
    files = corpus.splits[split]
    total = max(1, sum(file.path.stat().st_size for file in files))
    done, spoke = 0, time.monotonic()

    def lines(file: SourceFile, document: Document) -> Iterator[str]:
        nonlocal done, spoke
        clean = cleaner(file.source)
        for raw, size in document:
            done += size
            if time.monotonic() - spoke > LOG_SECONDS:
                spoke = time.monotonic()
                logger.info(f"{doing}: {min(100.0, 100 * done / total):.0f} % ({file.path.name})")
            yield clean(raw)

    for file in files:
        for document in file.documents():
            yield from texts(lines(file, document), unit)
