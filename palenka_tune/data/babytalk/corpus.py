"""The babytalk corpus: splits of a fixed size, in memory or in the folder layout of the BabyLM corpora.

Documents are parted by empty lines. The same split, number of words and seed give the same text on every machine. A
split never repeats a stream of random choices of another.
"""

from __future__ import annotations

from pathlib import Path

from palenka_tune.config.files import write_text
from palenka_tune.data.babytalk.dialogue import Dialogue
from palenka_tune.data.babytalk.narrative import Tale
from palenka_tune.errors import UserError, nearest

VERSION = "2"
WORDS = {"train": 40_000, "dev": 20_000, "test": 20_000}
GENRES: dict[str, type[Dialogue] | type[Tale]] = {"dialogue": Dialogue, "narrative": Tale}


def generate(split: str, *, words: int, seed: int = 0) -> dict[str, list[str]]:
    """The lines of a split by genre: a turn (dialogue) or a paragraph (narrative) a line, `""` between documents.

    `words` counts runs of characters between white space over both genres; the last document is finished, so that there
    are at least `words` of them. Raises `UserError` for an unknown split or fewer than one word.
    """
    if split not in WORDS:
        raise UserError(f"babytalk has no split {split!r}{nearest(split, WORDS)}; use train, dev or test")
    if words < 1:
        raise UserError(f"babytalk's split {split} cannot have {words} words; ask for 1 or more")
    genres: dict[str, list[str]] = {genre: [] for genre in GENRES}
    for genre, lines in genres.items():
        count = number = 0
        while count < (words + 1) // 2:
            text = GENRES[genre]("babytalk", VERSION, seed, split, genre, number).document()
            lines += ["", *text] if lines else text
            count += sum(len(line.split()) for line in text)
            number += 1
    return genres


def write_corpus(folder: Path, *, seed: int = 0, words: dict[str, int] | None = None) -> None:
    """Write `<split>/babytalk_<genre>.<split>` for every split under `folder`; `words` replaces `WORDS` where given."""
    for split, count in (WORDS | (words or {})).items():
        for genre, lines in generate(split, words=count, seed=seed).items():
            write_text(Path(folder) / split / f"babytalk_{genre}.{split}", "\n".join(lines) + "\n")
