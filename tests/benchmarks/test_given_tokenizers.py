"""The benchmark of tokenizers, on two made small: each text is compared, and a wrong id is seen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.given_tokenizers import compared, measure, own_tokenizer
from palenka_tune.data.store import Around
from tests.support.tokenizers import LINES, byte_level, sentencepiece


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_all_texts_are_counted(make, tmp_path):
    for split, lines in {"train": LINES, "dev": LINES[:30]}.items():
        (tmp_path / "corpus" / split).mkdir(parents=True)
        # dev must not be a part of train
        (tmp_path / "corpus" / split / f"a.{split}").write_text("".join(f"{line} {split}\n" for line in lines))
    row = measure(make(tmp_path / "tokenizer"), tmp_path / "corpus")
    assert row[:2] == ("tokenizer", "corpus")
    assert row[5:] == (str(len(LINES) + 30),) * 3


def test_a_wrong_id_is_seen(tmp_path):
    own = own_tokenizer(byte_level(tmp_path / "tokenizer"))
    ids = own(LINES[0], add_special_tokens=False, split_special_tokens=True)["input_ids"]
    for wrong in (0, 1):
        windows = np.array([[ids[0] + wrong, *ids[1:]]])
        store = SimpleNamespace(windows=lambda split, windows=windows: windows, around=Around(None, None, None))
        assert list(compared(own, store, "train", iter(LINES[:1]))) == [(not wrong, True)]
