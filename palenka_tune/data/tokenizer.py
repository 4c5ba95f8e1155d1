"""Byte-level BPE tokenizer: trained on the train split, saved as a folder that `AutoTokenizer` loads.

Lines of text go in, a `tokenizers.Tokenizer` or a Hugging Face folder comes out. Three choices matter downstream.

*Prefix space.* A space is put before a text that does not begin with one (`add_prefix_space=True`). A word at the start
of a line is then the same token as in the middle of one, which a small corpus needs: most sentence-initial words of a
minimal pair are seen only inside paragraphs. A line of the corpus, an isolated sentence, and a sentence with a leading
space (how lm-evaluation-harness passes a continuation after an empty context) get the same ids. Decoding takes one
leading space off, so every NFC text that does not begin with a space comes back exactly; of a text that does, that one
space is lost. Cleaned lines never begin with a space.

*Special tokens.* `tokenizer(text)` gives `<s> ids`; with `add_special_tokens=False` it gives the plain ids. The BabyLM
2025 pipeline calls the tokenizer plainly and scores every token after the first, so it needs the `<s>`;
lm-evaluation-harness asks for plain ids and puts `<s>` before an empty context itself. Both then score
p(sentence | <s>), as in training, where a line is `<s> ids </s>`.

*No unknown token and no dropout*: the 256 bytes are in the vocabulary, and a text has one segmentation.

*No word without an end.* Training takes the square of a word's length: one of 320,000 characters (base64, a sequence of
bases, a line of dashes) would take hours. Longer words than `LONGEST_WORD` are cut for the training, and for it alone.
"""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from palenka_tune.config.files import write_json
from palenka_tune.errors import PalenkaError
from palenka_tune.limits import Limits

logger = logging.getLogger(__name__)
TOKENIZER_VERSION = 1
PAD, BOS, EOS = "<pad>", "<s>", "</s>"
SPECIAL_TOKENS = (PAD, BOS, EOS)
PAD_ID, BOS_ID, EOS_ID = range(3)
VOCABULARY = Limits(
    ge=256 + len(SPECIAL_TOKENS), le=2**20, hint=", for example 2048 for a small corpus or 16000 for BabyLM"
)
"""Entries of a tokenizer that is trained: the 256 bytes and the special tokens at least."""
LONGEST_WORD = 1000
"""Characters of a word (letters, digits, signs or spaces in a row) from which a tokenizer learns."""
_SPACES = re.compile(rf"\s{{{LONGEST_WORD + 1}}}")


def train_tokenizer(lines: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train byte-level BPE on `lines` with at most `vocabulary` entries; deterministic for the same lines.

    A small corpus runs out of pairs that occur twice before the vocabulary is full, so ask `get_vocab_size()` for the
    real size. Words longer than `LONGEST_WORD` are cut, which is said; Ctrl-C ends it at any moment. Raises `UserError`
    for a vocabulary outside the limits.
    """
    VOCABULARY.check("vocabulary", vocabulary)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = _Words(tokenizer.pre_tokenizer)
    over = threading.Event()
    pieces = itertools.takewhile(lambda piece: not over.is_set(), words.cut(lines))
    try:
        _interruptible(lambda: tokenizer.train_from_iterator(pieces, trainer))
    finally:
        over.set()  # what is left of an interrupted training reads no more
    if words.found:
        logger.info(
            f"words of more than {LONGEST_WORD:,} characters stand in the text {words.found:,} times (the longest has "
            f"{words.longest:,}): the tokenizer was trained on pieces of them; if that is no text, take it out"
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B:1", special_tokens=[(BOS, BOS_ID)]
    )
    return tokenizer


class _Words:
    """Cuts the words that are too long to train on; counts how many were `found`, and the characters of the longest."""

    def __init__(self, pre_tokenizer: pre_tokenizers.PreTokenizer) -> None:
        self.found = self.longest = 0
        self._pre_tokenizer = pre_tokenizer

    def cut(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines, those with too long a word in pieces that begin and end within it."""
        for line in lines:
            if len(line) <= LONGEST_WORD or not _may_be_long(line):
                yield line
                continue
            begin = 0
            for _, (first, last) in self._pre_tokenizer.pre_tokenize_str(line):
                if last - first > LONGEST_WORD:
                    self.found += 1
                    self.longest = max(self.longest, last - first)
                    for end in range(first + LONGEST_WORD, last, LONGEST_WORD):
                        yield line[begin:end]
                        begin = end
            yield line[begin:]


def _may_be_long(line: str) -> bool:
    """Whether a line has a stretch without or of spaces that is longer than a word may be."""
    return max(map(len, line.split()), default=0) > LONGEST_WORD or bool(_SPACES.search(line))


def _interruptible(work: Callable[[], object]) -> None:
    """Do `work` in a thread: compiled code does not hear Ctrl-C, and the one that waits for it does."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again where it is waited for
            failed.append(error)

    thread = threading.Thread(target=run, name="tokenizer", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if failed:
        raise failed[0]


def save_tokenizer(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` for `AutoTokenizer.from_pretrained(folder)`.

    The class is named `PreTrainedTokenizerFast`, which transformers 4 and 5 both load as it stands in tokenizer.json.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    write_json(folder / "tokenizer_config.json", config)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The `tokenizers.Tokenizer` saved in `folder`, without transformers; raises `PalenkaError` if it is damaged."""
    path = Path(folder) / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises a bare Exception for a missing or torn file
        raise PalenkaError(f"{path} cannot be read ({error}); delete {folder} and run the command again") from None
