"""The BabyLM filter: keep the items of a suite whose every word a model can have met in training.

A `Vocabulary` comes from a corpus folder or a list of words and says whether it covers a text. The challenge keeps an
item if each of its words occurs at least twice in the training corpus.

Words are lower-cased and split much as NLTK's `word_tokenize` does: punctuation comes off, and so do the clitics that
the Penn Treebank parts (do|n't, it|'s, we|'ll, can|not, gon|na). `split_words` differs from it in four things. Marks
without a letter or digit are no words, so that a list of words need not hold them. A full stop after a word always
comes off, where NLTK leaves it on abbreviations inside a sentence (mr.). The typographic apostrophe counts as a
straight one. An apostrophe before a word comes off ('twas is twas). Corpus and items are split alike, so that these
differences matter only beside a list made with NLTK.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.formats import decoded
from palenka_tune.errors import UserError

MIN_COUNT = 2
"""How often the challenge wants to see a word in its training corpus."""

_RUN = re.compile(r"\w+(?:[-'./&]\w+|[,:]\d\w*)*")
"""Letters and digits with single marks inside them: e-mail, o'clock, u.s, 3/4, 10,000.50, 3:30."""
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|ll|re|ve))$")
_JOINED = {
    word.replace("|", ""): tuple(word.split("|"))
    for word in ("can|not", "d|'ye", "gim|me", "gon|na", "got|ta", "lem|me", "more|'n", "wan|na")
}


def split_words(text: str) -> list[str]:
    """The words of `text` in order, lower-cased, clitics as words of their own."""
    words: list[str] = []
    for run in _RUN.findall(text.lower().replace("’", "'")):
        words += _parts(run)
    return [word for word in words if any(map(str.isalnum, word))]


def _parts(run: str) -> Iterable[str]:
    if run in _JOINED:
        return _JOINED[run]
    clitics: list[str] = []
    while clitic := _CLITIC.search(run):  # shouldn't've
        clitics.insert(0, clitic[1])
        run = run[: clitic.start()]
    return [run, *clitics]


@dataclass(frozen=True)
class Vocabulary:
    """The words that count as known; `source` says in tables and results where they come from."""

    words: frozenset[str]
    source: str

    def covers(self, *texts: str) -> bool:
        """Whether every word of all `texts` is known."""
        return all(word in self.words for text in texts for word in split_words(text))


def read_vocabulary(path: str | Path, min_count: int = MIN_COUNT) -> Vocabulary:
    """The vocabulary of a corpus folder (its train split, cleaned as for training) or of a file with a word a line.

    `min_count` is how often a word must occur in the corpus; a list is taken as it is.

    Raises:
        UserError: for a path that does not exist, a folder without a train split, a file that is not text, or if no
            word is left.
    """
    path = Path(path).expanduser()
    if min_count < 1:
        raise UserError(f"--filter-min-count is {min_count}; it must be 1 or more (the challenge uses {MIN_COUNT})")
    if path.is_dir():
        words = frequent_words(open_corpus(path).lines("train"), min_count)
        source = f"{path.name}, words seen {min_count} times or more"
    elif path.is_file():
        words = {word for line in _listed(path) for word in (line, *split_words(line))}
        source = path.name
    else:
        raise UserError(f"the vocabulary {path} does not exist; give a corpus folder or a file with a word a line")
    if not words:
        raise UserError(f"the vocabulary {path} holds no word; give a larger corpus or another list")
    return Vocabulary(frozenset(words), source)


def frequent_words(lines: Iterable[str], min_count: int) -> set[str]:
    """The words that occur at least `min_count` times in `lines`."""
    counts = Counter(word for line in lines for word in split_words(line))
    return {word for word, count in counts.items() if count >= min_count}


def _listed(path: Path) -> Iterator[str]:
    text = decoded(path, path.read_bytes(), 0)
    for line in text.removeprefix("\ufeff").splitlines():
        if word := line.strip().lower():
            yield word
