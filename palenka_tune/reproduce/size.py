"""How many tokens a corpus will have, without training a tokenizer on it.

In: a data source as `--data` takes it, and a scale. Out: `DataSize` with words and tokens of train, and one sentence on
where they come from. The number is an estimate for plans and tables only: a tokenizer of a scale's size makes tokens of
`bytes_per_token` bytes on stories (the storybook corpus, 1.25 M words, and its own tokenizers), and text with fewer
different words has longer ones, so expect it to be some 20 % off. Each line has two tokens more (`<s>` and `</s>`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from palenka_tune.data import hub
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import BABYTALK
from palenka_tune.reproduce.recipes import ReproduceScale

POSTER_WORDS = 10_000_000  # the BabyLM strict-small track
BYTES_PER_WORD = 5.35  # with the space after it; storybook
BABYTALK_PART = 16
WORDS_PER_LINE = 10  # BabyLM is mostly transcribed speech


@dataclass(frozen=True)
class DataSize:
    """Words and tokens of the train split, and how they were found."""

    source: str
    words: int
    tokens: int
    how: str


def data_size(source: str | None, scale: ReproduceScale) -> DataSize:
    """The size of a corpus folder or of babytalk from its bytes and lines; for None, or a dataset of the hub that
    nobody has downloaded, that of the poster's 10 M words.

    Raises:
        UserError: for a folder that is no corpus.
    """
    if source is None or hub.is_dataset_id(source):
        lines = POSTER_WORDS // WORDS_PER_LINE
        tokens = _tokens(POSTER_WORDS * BYTES_PER_WORD, lines, scale)
        what = "no data was given" if source is None else f"{source} is not read for a plan"
        how = f"{what}: taken are the poster's {POSTER_WORDS:,} words in lines of {WORDS_PER_LINE}"
        return DataSize(source or "BabyLM, 10 M words", POSTER_WORDS, tokens, how)
    if source == BABYTALK:
        return _babytalk(scale)
    size, lines = _counted(_lines(source))
    how = f"estimated from {size:,} bytes in {lines:,} lines of train; no tokenizer was trained"
    return DataSize(source, round(size / BYTES_PER_WORD), _tokens(size, lines, scale), how)


def _tokens(size: float, lines: int, scale: ReproduceScale) -> int:
    return round(size / scale.bytes_per_token + 2 * lines)


def _babytalk(scale: ReproduceScale) -> DataSize:
    """From a sixteenth of it, which takes a fraction of a second to write."""
    from palenka_tune.data.babytalk.corpus import WORDS, generate

    words = WORDS["train"] // BABYTALK_PART
    sample = generate("train", words=words)
    size, lines = _counted(f"{line}\n".encode() for text in sample.values() for line in text)
    tokens = BABYTALK_PART * _tokens(size, lines, scale)
    return DataSize(BABYTALK, WORDS["train"], tokens, f"estimated from the first {words:,} of {WORDS['train']:,} words")


def _lines(folder: str) -> Iterator[bytes]:
    for source in open_corpus(folder).splits["train"]:
        with source.path.open("rb") as file:
            yield from file


def _counted(lines: Iterable[bytes]) -> tuple[int, int]:
    """(bytes, lines that are not blank)."""
    size = count = 0
    for line in lines:
        size += len(line)
        count += not line.isspace()
    return size, count
