"""The babytalk corpus: size, shape, determinism, and grammar that holds in every sentence."""

from __future__ import annotations

import collections
import functools
import hashlib
import itertools
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from palenka_tune.data import babytalk
from palenka_tune.data.babytalk.lexicon import nouns
from palenka_tune.errors import UserError

WORDS = 320_000
ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def train() -> dict[str, list[str]]:
    """More words than the corpus has, so that rare sentences are seen."""
    return babytalk.generate("train", words=WORDS)


def words_of(corpus: dict[str, list[str]]) -> list[str]:
    return [word for lines in corpus.values() for line in lines for word in re.findall(r"[a-z']+", line.lower())]


def digest(corpus: dict[str, list[str]]) -> str:
    return hashlib.sha256(repr(corpus).encode()).hexdigest()


def test_train_has_the_promised_size_and_variety() -> None:
    count = sum(len(line.split()) for lines in train().values() for line in lines)
    assert WORDS <= count < WORDS + 2_000
    counts = collections.Counter(words_of(train()))
    assert 800 < len(counts) < 2_000
    assert counts.most_common(1)[0][0] == "the"
    lines = [line for lines in train().values() for line in lines if line.count(" ") >= 6]
    assert len(set(lines)) > 0.9 * len(lines)


def test_text_is_neither_trivial_nor_noise() -> None:
    words = words_of(train())
    unigrams, bigrams = collections.Counter(words), collections.Counter(itertools.pairwise(words))
    entropy = -sum(n / len(words) * math.log2(n / len(words)) for n in unigrams.values())
    conditional = -sum(n / len(words) * math.log2(n / unigrams[first]) for (first, _), n in bigrams.items())
    assert 7.0 < entropy < 9.0
    assert 4.0 < conditional < 5.5


def test_lines_are_sentences_and_documents_are_parted() -> None:
    for genre, lines in train().items():
        assert lines[0]
        assert lines[-1]
        assert lines.count("") > 100, genre
        for line in lines:
            if line:
                assert re.fullmatch(r'"?[A-Z].*[.?!]"?', line), line
                assert "  " not in line
                assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", line), line
    assert "\n\n\n" not in "\n".join(train()["dialogue"])


def test_reflexives_have_the_gender_of_the_name() -> None:
    males = {name for name, noun in nouns().items() if noun.proper and noun.gender == "m"}
    females = {name for name, noun in nouns().items() if noun.proper and noun.gender == "f"}
    seen = 0
    for line in (line for lines in train().values() for line in lines):
        match = re.match(r"(\w+) (?:\w+) (himself|herself)\b", line)
        if match and match[1] in males | females:
            seen += 1
            assert (match[2] == "himself") == (match[1] in males), line
    assert seen > 100


@pytest.mark.parametrize("plural", [False, True])
def test_demonstratives_and_copulas_agree_in_every_line(plural: bool) -> None:
    forms = {(noun.singular if plural else noun.plural) for noun in nouns().values() if not noun.proper}
    forms -= {noun.plural if plural else noun.singular for noun in nouns().values()}
    text = "\n".join(line.lower() for lines in train().values() for line in lines)
    wrong = "these|those" if plural else "this|that"
    found = [match for match in re.finditer(rf"\b(?:{wrong}) ([a-z]+)\b", text) if match[1] in forms]
    assert not [match[0] for match in found]
    pronoun = r"\b(?:they|these|those) (?:is|was|has|does)\b" if plural else r"\b(?:he|she|it) (?:are|were|have|do)\b"
    assert not re.search(pronoun, text)


def test_same_arguments_same_text_in_another_process_with_another_hash_seed() -> None:
    here = digest(babytalk.generate("dev", words=3_000, seed=5))
    code = (
        "import hashlib; from palenka_tune.data import babytalk; "
        "print(hashlib.sha256(repr(babytalk.generate('dev', words=3_000, seed=5)).encode()).hexdigest())"
    )
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == here


def test_output_changes_only_with_the_version() -> None:
    """A frozen digest: change `VERSION` and this value together."""
    found = digest(babytalk.generate("test", words=2_000))[:16]
    assert (babytalk.VERSION, found) == ("2", "f97862ac766f0c43")


def test_splits_and_seeds_differ() -> None:
    splits = [babytalk.generate(split, words=4_000) for split in babytalk.WORDS]
    splits.append(babytalk.generate("train", words=4_000, seed=1))
    documents = [set("\n".join(corpus["narrative"]).split("\n\n")) for corpus in splits]
    for i, one in enumerate(documents):
        assert all(not one & other for other in documents[i + 1 :])


def test_fewer_words_are_a_prefix() -> None:
    short = babytalk.generate("train", words=5_000)
    for genre, lines in short.items():
        assert train()[genre][: len(lines)] == lines


def test_folder_has_the_layout_of_babylm(tmp_path: Path) -> None:
    babytalk.write_corpus(tmp_path, words={"train": 2_000, "dev": 500, "test": 500})
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert found == sorted(
        f"{split}/babytalk_{genre}.{split}" for split in babytalk.WORDS for genre in ("dialogue", "narrative")
    )
    lines = babytalk.generate("dev", words=500)["dialogue"]
    assert (tmp_path / "dev/babytalk_dialogue.dev").read_text(encoding="utf-8") == "\n".join(lines) + "\n"


@pytest.mark.parametrize(("split", "words", "part"), [("trian", 10, "'train'"), ("dev", 0, "1 or more")])
def test_wrong_arguments_say_what_is_allowed(split: str, words: int, part: str) -> None:
    with pytest.raises(UserError, match=part):
        babytalk.generate(split, words=words)
