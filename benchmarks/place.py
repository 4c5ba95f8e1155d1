"""Data and teachers for benchmarks: a corpus of pseudo-words, tokenised by the product, and random teachers.

Neither the speed of a training step nor the size of a cache depends on what the text says or on what the teachers know,
so both are made in seconds. What is measured on them goes through the product's own files: token store, cache, shards.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.sizes import Sizes
from palenka_tune.data.prepare import DataSettings, PreparedData, prepare
from palenka_tune.models.export import export_student
from palenka_tune.teachers.spec import Teacher, open_teacher

WORDS, LINE = 20_000, 12


@dataclass(frozen=True)
class Place:
    """`sizes` with the vocabulary that the tokenizer has, its data and its teachers."""

    sizes: Sizes
    prepared: PreparedData
    teachers: list[Teacher]


def write_corpus(folder: Path, lines: int, *, seed: int = 0) -> None:
    """`lines` of train and a tenth of it of dev: pseudo-words whose frequencies fall as those of words do (Zipf)."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(generator.choice(letters, size)) for size in generator.integers(2, 9, WORDS)])
    chances = 1 / np.arange(1, WORDS + 1)
    for split, count in (("train", lines), ("dev", lines // 10)):
        chosen = words[generator.choice(WORDS, (count, LINE), p=chances / chances.sum())]
        (folder / split).mkdir(parents=True, exist_ok=True)
        text = "".join(f"{' '.join(line)}.\n" for line in chosen)
        (folder / split / f"words.{split}").write_text(text, encoding="utf-8")


def make_place(folder: Path, sizes: Sizes, *, lines: int = 20_000) -> Place:
    """Corpus, tokenizer, token store and teachers under `folder`."""
    write_corpus(folder / "corpus", lines)
    prepared = _prepared(folder, sizes)
    sizes = dataclasses.replace(sizes, vocabulary=prepared.store.vocabulary_size)
    for number, preset in enumerate(sizes.teachers):
        target = folder / f"teacher{number}"
        export_student(sizes.build(preset, seed=number + 1), prepared.tokenizer_dir, target, card="")
    return open_place(folder, sizes)


def open_place(folder: Path, sizes: Sizes) -> Place:
    """What `make_place` made there."""
    prepared = _prepared(folder, sizes)
    sizes = dataclasses.replace(sizes, vocabulary=prepared.store.vocabulary_size)
    return Place(sizes, prepared, [open_teacher(folder / f"teacher{number}") for number in range(len(sizes.teachers))])


def _prepared(folder: Path, sizes: Sizes) -> PreparedData:
    return prepare(DataSettings(str(folder / "corpus"), sizes.vocabulary, sizes.window), folder / "storage")
