"""Byte-level BPE: exact round trips, determinism, and what transformers, lm-eval and the BabyLM pipeline see."""

from __future__ import annotations

import _thread
import os
import random
import re
import signal
import subprocess
import sys
import threading
import unicodedata
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from palenka_tune.config.files import file_sha256
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.tokenizer import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    VOCABULARY,
    _interruptible,
    _Words,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from palenka_tune.errors import PalenkaError, UserError

LINES = ["The cat sat on the mat.", "the dog saw the cat", "Did the cat see the dog? The dog did."] * 5
AWKWARD = [
    "",
    "x",
    "Hello  two  spaces",
    "tab\tnew\nline ",
    "naïve Žluť 🐎 中文 \u200d",
    "e\u0301",
    "a </s> b<s>",
    "don't 12,345",
    "\x00\x7f",
    "  two",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES, 300)


def test_special_tokens_and_real_size(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(token) for token in ("<pad>", "<s>", "</s>")] == [PAD_ID, BOS_ID, EOS_ID] == [0, 1, 2]
    assert 259 < tokenizer.get_vocab_size() <= 300
    assert train_tokenizer(LINES, 60_000).get_vocab_size() < 400, "a small corpus has fewer merges than asked for"
    assert train_tokenizer(LINES, 259).get_vocab_size() == 259 == VOCABULARY.ge


@pytest.mark.parametrize("size", [0, 258, 2**20 + 1])
def test_vocabulary_limits(size: int) -> None:
    with pytest.raises(UserError, match=rf"vocabulary is {size}; it must be from 259 to 1,048,576, for example"):
        train_tokenizer(LINES, size)


@pytest.mark.parametrize("text", AWKWARD)
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    """Every NFC text comes back, but for one leading space, which is what a line's start looks like."""
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text).removeprefix(" ")
    assert not {PAD_ID, BOS_ID, EOS_ID} & set(ids), "text never makes a special token"


def test_round_trip_of_random_characters(tokenizer: Tokenizer) -> None:
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(
            chr(draw.choice((draw.randrange(128), draw.randrange(0x800), draw.randrange(0x20000)))) for _ in range(20)
        )
        text = unicodedata.normalize("NFC", "x" + "".join(char for char in text if not 0xD800 <= ord(char) < 0xE000))
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_a_word_is_one_token_wherever_it_stands(tokenizer: Tokenizer) -> None:
    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    assert encode("the cat") == encode(" the cat")
    assert encode("the cat the cat") == encode("the cat") * 2


def test_same_lines_same_tokenizer_in_another_process(tmp_path: Path) -> None:
    lines = ["".join(random.Random(i).choices("abcde ", k=60)) for i in range(200)]
    code = (
        "import random, sys; from palenka_tune.data.tokenizer import *;"
        "lines = [''.join(random.Random(i).choices('abcde ', k=60)) for i in range(200)];"
        "save_tokenizer(train_tokenizer(lines, 600), sys.argv[1])"
    )
    environment = {**os.environ, "RAYON_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True, env=environment)
    save_tokenizer(train_tokenizer(lines, 600), tmp_path / "b")
    assert file_sha256(tmp_path / "a/tokenizer.json") == file_sha256(tmp_path / "b/tokenizer.json")


@pytest.mark.parametrize("model", [None, "gpt2", "llama"])
def test_auto_tokenizer(tokenizer: Tokenizer, tmp_path: Path, model: str | None) -> None:
    """Beside a model's `config.json` too, where transformers could take the family's own tokenizer class."""
    from transformers import AutoConfig, AutoTokenizer

    save_tokenizer(tokenizer, tmp_path)
    if model:
        size = tokenizer.get_vocab_size()
        AutoConfig.for_model(model, vocab_size=size, bos_token_id=1, eos_token_id=2).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id) == (PAD_ID, BOS_ID, EOS_ID)
    assert loaded.unk_token is None
    assert len(loaded) == tokenizer.get_vocab_size()
    text = "The cat saw the dog."
    plain = loaded(text, add_special_tokens=False)["input_ids"]
    assert plain == tokenizer.encode(text, add_special_tokens=False).ids
    assert loaded(text)["input_ids"] == [BOS_ID, *plain]
    assert loaded.decode(loaded(text)["input_ids"], skip_special_tokens=True) == text
    assert loaded(text, return_offsets_mapping=True)["offset_mapping"][:2] == [(0, 0), (0, 3)]
    loaded.save_pretrained(tmp_path / "again")
    assert AutoTokenizer.from_pretrained(tmp_path / "again")(text)["input_ids"] == [BOS_ID, *plain]


LONG = 320_000
UNBROKEN = {
    "letters": lambda draw: "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=LONG)),
    "one letter": lambda draw: "a" * LONG,
    "digits": lambda draw: "".join(draw.choices("0123456789", k=LONG)),
    "signs": lambda draw: "=" * LONG,
    "spaces": lambda draw: "x" + " " * LONG + "x",
    "without spaces between words": lambda draw: "".join(draw.choices("天地玄黃宇宙洪荒", k=LONG)),
    "marks": lambda draw: "e" + "\u0301" * LONG,
}


@pytest.mark.parametrize("kind", UNBROKEN)
def test_a_word_without_an_end_is_cut_for_the_training_and_that_is_said(kind: str, logged: list[str]) -> None:
    """Whole, each of them takes minutes to hours."""
    word = UNBROKEN[kind](random.Random(0))
    trained = train_tokenizer([*LINES, f"the cat {word} saw the dog", *LINES], 400)
    (line,) = logged
    said = (
        r"words of more than 1,000 characters stand in the text 1 times \(the longest has (320,00|319,99)\d\): the tok"
    )
    assert re.match(said, line)
    text = unicodedata.normalize("NFC", word[:5000])
    assert trained.decode(trained.encode(text, add_special_tokens=False).ids) == text


def test_nothing_is_lost_or_added_where_a_word_is_cut() -> None:
    words = _Words(ByteLevel(add_prefix_space=True))
    lines = ["the cat " + "a" * 2500 + " sat, " + "7" * 1001 + ".", "b" * 1000, "a1-" * 2000, "", "c" * 1001]
    pieces = [*words.cut(lines)]
    assert "".join(pieces) == "".join(lines)
    assert [len(piece) for piece in pieces] == [1007, 1000, 1506, 3, 1000, 6000, 0, 1000, 1]
    assert (words.found, words.longest) == (3, 2501)


def test_a_text_without_such_words_trains_the_tokenizer_that_it_trained_before(
    monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """Long lines too, and those without spaces whose words are short all the same."""
    draw = random.Random(0)
    lines = [
        *LINES,
        " ".join(LINES * 20),
        "".join(draw.choices("abcdef012-/", k=5000)),
        "天地，玄黃。" * 2000,
        "a" * 999,
    ]
    with_cuts = train_tokenizer(lines, 500).to_str()
    assert logged == []
    monkeypatch.setattr(_Words, "cut", lambda self, lines: iter(lines))
    assert train_tokenizer(lines, 500).to_str() == with_cuts


def test_an_interrupt_does_not_wait_for_the_training(request: pytest.FixtureRequest) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    release, threads = threading.Event(), []

    def work() -> None:
        threads.append(threading.current_thread())
        _thread.interrupt_main()
        release.wait()

    with pytest.raises(KeyboardInterrupt):
        _interruptible(work)
    (thread,) = threads
    assert thread.is_alive()
    assert thread.daemon
    release.set()


def test_an_error_of_the_text_is_raised_as_it_is() -> None:
    def lines():
        yield "the cat"
        raise UserError("train/x.txt line 2 is not UTF-8")

    with pytest.raises(UserError, match="line 2 is not UTF-8"):
        train_tokenizer(lines(), 300)


def test_damaged_folder(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(PalenkaError, match=r"tokenizer\.json cannot be read .*; delete .* and run the command again"):
        load_tokenizer(tmp_path)


def test_thousand_lines_of_the_storybook() -> None:
    folder = Path(os.environ.get("PALENKA_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "storybook"
    if not folder.is_dir():
        pytest.skip("the storybook corpus is not in PALENKA_TEST_DATA nor in ../shared/data")
    lines = list(islice(open_corpus(folder).lines("dev"), 1000))
    trained = train_tokenizer(lines, 1024)
    encodings = trained.encode_batch(lines, add_special_tokens=False)
    assert [trained.decode(encoding.ids) for encoding in encodings] == lines
    assert trained.get_vocab_size() == 1024
