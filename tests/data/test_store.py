"""Token store: what the windows hold, that they are mapped and not copied, and that damage is told."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from palenka_tune.config.artifacts import build_once
from palenka_tune.data import store as store_module
from palenka_tune.data.store import STORE_VERSION, Around, TokenStore, subset, write_split
from palenka_tune.data.tokenizer import BOS_ID, EOS_ID, PAD_ID, train_tokenizer
from palenka_tune.errors import PalenkaError, UserError

T = 16
TRAIN = [f"The {animal} saw {count} cats." for count in range(40) for animal in ("dog", "cat", "owl")]
DEV = ["One line.", "Text with </s> in it."]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TRAIN, 300)


def build(folder: Path, tokenizer: Tokenizer, splits: dict[str, Iterable[str]]) -> TokenStore:
    def write(temporary: Path) -> dict[str, object]:
        return {
            "kind": "token store",
            "version": STORE_VERSION,
            "fingerprint": "0" * 16,
            "vocabulary_size": tokenizer.get_vocab_size(),
            "window": T,
            "splits": {split: write_split(temporary, split, lines, tokenizer, T) for split, lines in splits.items()},
        }

    build_once(folder, write)
    return TokenStore.open(folder)


@pytest.fixture
def store(tmp_path: Path, tokenizer: Tokenizer) -> TokenStore:
    return build(tmp_path / "store", tokenizer, {"train": TRAIN, "dev": DEV, "test": []})


def reference(tokenizer: Tokenizer, lines: list[str]) -> list[int]:
    """The definition, a line at a time."""
    ids = []
    for line in lines:
        ids += [BOS_ID, *tokenizer.encode(line, add_special_tokens=False).ids, EOS_ID]
    return ids


@pytest.mark.parametrize("batch", [7, 4096])
def test_windows_hold_the_lines_in_order(
    tmp_path: Path, tokenizer: Tokenizer, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LINES_PER_BATCH", batch)
    store = build(tmp_path / "store", tokenizer, {"train": iter(TRAIN), "dev": DEV})
    ids = reference(tokenizer, TRAIN)
    windows = store.windows("train")
    assert windows.shape == (-(-len(ids) // T), T)
    assert windows.dtype == np.uint16
    assert windows.ravel()[: len(ids)].tolist() == ids
    assert (windows.ravel()[len(ids) :] == PAD_ID).all()
    assert store.tokens("train") == len(ids) == (windows != PAD_ID).sum()
    assert store.words("train") == sum(len(line.split()) for line in TRAIN)


def test_text_that_spells_a_special_token_stays_text(store: TokenStore) -> None:
    assert (store.windows("dev") == EOS_ID).sum() == len(DEV)


def test_attributes(store: TokenStore, tokenizer: Tokenizer) -> None:
    assert store.splits == ("train", "dev", "test")
    assert (store.window, store.vocabulary_size, store.fingerprint) == (T, tokenizer.get_vocab_size(), "0" * 16)
    assert (store.around, store.pad_id) == (Around(BOS_ID, EOS_ID, PAD_ID), PAD_ID)
    assert store.windows("test").shape == (0, T)
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "dev.arrow",
        "manifest.json",
        "test.arrow",
        "train.arrow",
    ]
    with pytest.raises(PalenkaError, match=r"holds no valid split .it holds train, dev, test"):
        store.windows("valid")


def test_zero_copy_and_read_only(store: TokenStore) -> None:
    before = pa.total_allocated_bytes()
    windows = store.windows("train")
    assert pa.total_allocated_bytes() == before
    assert not windows.flags.writeable
    assert not windows.flags.owndata
    assert store.windows("train") is windows
    if not Path("/proc/self/maps").exists():
        pytest.skip("the system does not list the process' mappings")
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "train.arrow" in line]
    spans = [
        [int(part, 16) for part in fields[0].split("-")]
        for fields in maps
        if fields[5] == str(store.folder / "train.arrow")
    ]
    address = windows.ctypes.data
    assert any(start <= address and address + windows.nbytes <= end for start, end in spans)


def test_pickles_as_its_folder(store: TokenStore) -> None:
    store.windows("train")
    data = pickle.dumps(store)
    assert len(data) < 1000
    assert (pickle.loads(data).windows("train") == store.windows("train")).all()


def test_truncated_store(store: TokenStore) -> None:
    path = store.folder / "train.arrow"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PalenkaError, match=r"train\.arrow is missing or damaged; delete the folder .* and run"):
        TokenStore.open(store.folder)


def test_damage_of_the_same_size(store: TokenStore) -> None:
    path = store.folder / "train.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    TokenStore.open(store.folder)
    with pytest.raises(PalenkaError, match="damaged"):
        TokenStore.open(store.folder, verify=True)
    path.write_bytes(bytes(len(content)))
    with pytest.raises(
        PalenkaError, match=r"train\.arrow is damaged .*; delete the folder .* and run the command again"
    ):
        TokenStore.open(store.folder).windows("train")


@pytest.mark.parametrize("copies", [2, 3, 16])
def test_shifted_copies_are_the_same_text_cut_elsewhere(store: TokenStore, copies: int) -> None:
    windows = store.windows("train")
    text = windows.ravel().tolist()
    shifted = store.shifted("train", copies)
    assert shifted.shape == (copies * len(windows), T)
    assert shifted.dtype == np.uint16
    assert (shifted[: len(windows)] == windows).all()
    for number in range(copies):
        copy = shifted[number * len(windows) : (number + 1) * len(windows)].ravel().tolist()
        start = number * T // copies
        assert copy == text[start:] + [PAD_ID] * start
    assert len({tuple(window) for window in shifted[:: len(windows)].tolist()}) == copies


def test_one_copy_is_the_mapped_text_itself(store: TokenStore) -> None:
    assert store.shifted("train", 1) is store.windows("train")
    before = store.windows("train").copy()
    store.shifted("train", 4)[:] = 1
    assert (store.windows("train") == before).all()


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PalenkaError, match="does not exist"):
        TokenStore.open(tmp_path)
    build_once(tmp_path / "other", lambda folder: {"kind": "corpus"})
    with pytest.raises(PalenkaError, match="is not a token store of version"):
        TokenStore.open(tmp_path / "other")


def test_subsets_are_fixed_sorted_and_nested() -> None:
    small, large = subset(1000, 0.2), subset(1000, 0.5)
    assert len(small) == 200
    assert (np.diff(small) > 0).all()
    assert set(small) < set(large)
    assert (small == subset(1000, 0.2)).all()
    assert set(small) != set(subset(1000, 0.2, seed=1))
    assert subset(1000, 1.0).tolist() == list(range(1000))
    assert len(subset(3, 0.01)) == 1
    for fraction in (0, 1.5, float("nan")):
        with pytest.raises(UserError, match="fraction is"):
            subset(10, fraction)
