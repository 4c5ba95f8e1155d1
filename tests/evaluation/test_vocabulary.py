"""The word splitter, the vocabulary of a corpus or a list, and what they keep."""

import importlib.util
import json
from pathlib import Path

import pytest

from palenka_tune.errors import UserError
from palenka_tune.evaluation.vocabulary import Vocabulary, frequent_words, read_vocabulary, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cats aren't happy.", "the cats are n't happy"),
        (
            "It’s John's; we'll see, I'd say they've gone, she's 5.",
            "it 's john 's we 'll see i 'd say they 've gone she 's 5",
        ),
        ("Shouldn't've cannot gonna", "should n't 've can not gon na"),
        ("\"Who?\" (said [Ann]) -- e-mail, o'clock... the dogs' tails", "who said ann e-mail o'clock the dogs tails"),
        ("10,000.50 at 3:30, 1/2; a,b c:d", "10,000.50 at 3:30 1/2 a b c d"),
        ("A: Who cleaned?\nB: Zoë!", "a who cleaned b zoë"),
        ("well--known __ & 'twas", "well known twas"),
        ("?! ...", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    assert split_words(text) == words.split()


@pytest.mark.skipif(importlib.util.find_spec("nltk") is None, reason="NLTK is not installed")
def test_the_words_of_blimp_and_the_supplement_are_those_of_nltk(blimp: Path) -> None:
    from nltk.tokenize import NLTKWordTokenizer  # what word_tokenize runs on each sentence; needs no data

    nltk, texts = NLTKWordTokenizer(), []
    for file in sorted([*blimp.glob("*.jsonl"), *(blimp.parent / "blimp_supplement").glob("*.jsonl")]):
        for line in file.read_text().splitlines()[:60]:
            record = json.loads(line)
            texts += [part for name in ("sentence_good", "sentence_bad") for part in record[name].split("\n")]
    assert len(texts) > 8000
    different = [
        text
        for text in texts
        if split_words(text)
        != [word for token in nltk.tokenize(text.lower()) if any(map(str.isalnum, word := token.rstrip(".")))]
    ]
    assert different == []


def test_a_word_must_occur_twice_in_train_and_dev_does_not_count(tmp_path: Path) -> None:
    for split, text in (("train", "The cat saw a dog.\nThe CAT isn't = = here\n"), ("dev", "A dog. A dog.\n")):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"talk.{split}").write_text(text)
    vocabulary = read_vocabulary(tmp_path)
    assert vocabulary.words == {"the", "cat"}
    assert vocabulary.source == f"{tmp_path.name}, words seen 2 times or more"
    assert read_vocabulary(tmp_path, 1).words == {"the", "cat", "saw", "a", "dog", "is", "n't", "here"}
    assert vocabulary.covers("The cat, the CAT!", "cat")
    assert not vocabulary.covers("The cat", "the dog")


def test_the_corpus_is_cleaned_as_for_training(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"childes.{split}").write_text("*MOT:\tlook here .\n*MOT:\tlook here .\n")
    assert read_vocabulary(tmp_path).words == {"look", "here"}


def test_a_list_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\ufeffCat\n\ndon't\ne-mail\n", encoding="utf-8")
    vocabulary = read_vocabulary(tmp_path / "words.txt", 5)
    assert vocabulary.words == {"cat", "don't", "do", "n't", "e-mail"}
    assert vocabulary.covers("Don't e-mail cat.")
    assert vocabulary.source == "words.txt"


def test_counts() -> None:
    assert frequent_words(["a b b", "c b a"], 2) == {"a", "b"}
    assert frequent_words(["a b b", "c b a"], 3) == {"b"}


def test_what_cannot_be_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist; give a corpus folder or a file"):
        read_vocabulary(tmp_path / "nowhere")
    with pytest.raises(UserError, match="--filter-min-count is 0; it must be 1 or more"):
        read_vocabulary(tmp_path, 0)
    with pytest.raises(UserError, match="is empty"):
        read_vocabulary(tmp_path)
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match=r"empty\.txt holds no word"):
        read_vocabulary(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"latin\.txt is not UTF-8: byte 0xe9 at byte offset 3"):
        read_vocabulary(tmp_path / "latin.txt")
    assert not Vocabulary(frozenset(), "nothing").covers("a")
    assert Vocabulary(frozenset(), "nothing").covers("?!")
