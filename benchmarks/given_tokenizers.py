"""Tokenizers that people have, on text that people have: are ids transformers' own, and how fast are they made?

    python -m benchmarks.given_tokenizers TOKENIZER... --data CORPUS... [--json FILE]

TOKENIZER is a folder (`tokenizer.json`, or `vocab.json` with `merges.txt`), CORPUS a folder in BabyLM layout. For each
pair a token store is made as a search makes it, anew, and timed (MB of cleaned text a second, reading and writing
included). Then each of its texts is compared with what transformers' own tokenizer makes of it, and its ids are turned
back into text. `back` counts texts that come back byte for byte; a tokenizer that normalises text cannot give all.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer, GPT2Tokenizer

from benchmarks.harness import Report, parser
from palenka_tune.commands.options import run
from palenka_tune.config.environment import calm_libraries
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.data.store import TokenStore, batches

COLUMNS = ("tokenizer", "corpus", "entries", "MB/s", "bytes a token", "texts", "ids equal", "back")


def own_tokenizer(folder: Path) -> Any:
    """As transformers opens it."""
    if (folder / "tokenizer.json").is_file():
        return AutoTokenizer.from_pretrained(folder)
    return GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


def compared(own: Any, store: TokenStore, split: str, texts: Iterator[str]) -> Iterator[tuple[bool, bool]]:
    """For each text whether the store has transformers' ids of it, and whether these give the text back."""
    ids, at, around = store.windows(split).reshape(-1), 0, store.around
    before, after = ([] if each is None else [each] for each in (around.start, around.end))
    for batch in batches(texts):
        encoded = own(list(batch), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        decoded = own.batch_decode(encoded, clean_up_tokenization_spaces=False)
        for text, text_ids, back in zip(batch, encoded, decoded, strict=True):
            wanted = [*before, *text_ids, *after]
            kept = ids[at : at + len(wanted)]  # what fills no window at the end is left out
            at += len(wanted)
            yield bool(np.array_equal(kept, wanted[: len(kept)])), back == text


def measure(tokenizer: Path, data: Path) -> tuple[str, ...]:
    """A row of the table."""
    own, corpus = own_tokenizer(tokenizer), open_corpus(data)
    with tempfile.TemporaryDirectory() as storage:
        began = time.perf_counter()
        store = prepare(DataSettings(str(data), tokenizer=str(tokenizer)), Path(storage)).store
        seconds = time.perf_counter() - began
        size = sum(len(text.encode()) for split in corpus.splits for text in corpus.lines(split))
        tokens = sum(store.tokens(split) for split in corpus.splits)
        pairs = list(chain.from_iterable(compared(own, store, split, corpus.lines(split)) for split in corpus.splits))
        equal, back = (sum(pair[number] for pair in pairs) for number in (0, 1))
        return (
            tokenizer.name,
            data.name,
            f"{store.vocabulary_size:,}",
            f"{size / 1e6 / seconds:.1f}",
            f"{size / tokens:.2f}",
            f"{len(pairs):,}",
            f"{equal:,}",
            f"{back:,}",
        )


def main(argv: Sequence[str]) -> int:
    """The command; 1 if ids are not transformers' own."""
    made = parser("given_tokenizers", str(__doc__).partition("\n")[0])
    made.add_argument("tokenizers", nargs="+", type=Path, metavar="TOKENIZER", help="a folder")
    made.add_argument("--data", nargs="+", type=Path, required=True, metavar="CORPUS", help="folders of text")
    options = made.parse_args(argv)
    calm_libraries()
    rows = []
    for tokenizer in options.tokenizers:
        for data in options.data:
            rows.append(measure(tokenizer, data))
            print("  ".join(f"{name} {value}" for name, value in zip(COLUMNS, rows[-1], strict=True)), flush=True)
    Report("given_tokenizers", "Tokenizers that exist", {}, COLUMNS, rows).publish(options.json)
    return 0 if all(row[5] == row[6] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(run(main))
