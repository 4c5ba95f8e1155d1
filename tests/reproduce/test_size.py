"""Estimates of a corpus' tokens, against tokenizers that were trained on it."""

from pathlib import Path

import pytest

from palenka_tune.data.babytalk import write_corpus
from palenka_tune.data.babytalk.corpus import WORDS
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.errors import UserError
from palenka_tune.reproduce.recipes import SCALES, get_scale
from palenka_tune.reproduce.size import POSTER_WORDS, data_size


def test_near_what_a_tokenizer_makes_of_a_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", words={"train": 60_000, "dev": 2_000, "test": 2_000})
    scale = get_scale("tiny")
    found = data_size(str(tmp_path / "corpus"), scale)
    prepared = prepare(
        DataSettings(str(tmp_path / "corpus"), vocabulary=scale.vocabulary, window=scale.window), tmp_path / "storage"
    )
    assert found.words == pytest.approx(prepared.store.words("train"), rel=0.1)
    assert found.tokens == pytest.approx(prepared.store.tokens("train"), rel=0.25)


def test_bytes_and_lines_of_train_are_counted(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "one.train").write_bytes(b"a line\n\n  \r\nanother one\n\n\n")
    (tmp_path / "train" / "two.train").write_bytes(b"no break at the end")
    (tmp_path / "dev.txt").write_text("not counted\n" * 1000)
    scale = get_scale("small")
    size = len(b"a line\n\n  \r\nanother one\n\n\nno break at the end")
    found = data_size(str(tmp_path), scale)
    assert found.tokens == round(size / scale.bytes_per_token + 2 * 3)
    assert f"{size} bytes in 3 lines" in found.how


def test_without_data_it_is_the_posters() -> None:
    nothing, hub = data_size(None, get_scale("poster")), data_size("owner/name", get_scale("poster"))
    assert nothing.words == hub.words == POSTER_WORDS
    assert nothing.tokens == hub.tokens
    assert 1.2 < nothing.tokens / nothing.words < 1.6
    assert nothing.how.startswith("no data was given: taken are the poster's 10,000,000 words")
    assert hub.how.startswith("owner/name is not read")


def test_babytalk_is_known_without_a_folder(tmp_path: Path) -> None:
    part = 8
    write_corpus(tmp_path, words={split: count // part for split, count in WORDS.items()})
    for scale in SCALES.values():
        found, written = data_size("babytalk", scale), data_size(str(tmp_path), scale)
        assert found.words == WORDS["train"]
        assert found.tokens == pytest.approx(part * written.tokens, rel=0.05)


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        data_size(str(tmp_path / "nothing"), get_scale("tiny"))
