"""Windows: which rows of which text they are, what their digest covers, and that neither array nor tensor is a copy."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from palenka_tune.config.artifacts import build_once
from palenka_tune.data.store import STORE_VERSION, TokenStore, write_split
from palenka_tune.data.tokenizer import train_tokenizer
from palenka_tune.data.windows import Windows, window_tensor

LINES = [f"The {animal} saw {count} cats." for count in range(40) for animal in ("dog", "cat", "owl")]
T = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    folder = tmp_path_factory.mktemp("windows") / "store"
    tokenizer = train_tokenizer(LINES, 300)

    def build(temporary: Path) -> dict[str, object]:
        splits = {split: write_split(temporary, split, LINES, tokenizer, T) for split in ("train", "dev")}
        return {"kind": "token store", "version": STORE_VERSION, "window": T, "vocabulary_size": 300, "splits": splits}

    build_once(folder, build)
    return TokenStore.open(folder)


def test_windows_are_rows_of_the_shifted_text(store: TokenStore) -> None:
    every = store.shifted("train", 2)
    rows = np.array([3, 0, len(every) - 1])
    windows = Windows({"train": rows, "dev": np.arange(len(store.windows("dev")))}, copies=2)
    assert np.array_equal(windows.array(store, "train"), every[rows])
    assert windows.array(store, "dev") is store.windows("dev")  # mapped, not copied
    assert windows.count == 3 + len(store.windows("dev"))


def test_the_digest_covers_the_copies_and_the_rows_in_their_order() -> None:
    windows = Windows({"train": np.array([3, 0, 5]), "dev": np.array([1])}, copies=2)
    other = {
        "copies": dataclasses.replace(windows, copies=1),
        "order": Windows({"train": np.array([0, 3, 5]), "dev": np.array([1])}, copies=2),
        "fewer": Windows({"train": np.array([3, 0]), "dev": np.array([1])}, copies=2),
        "other dev": Windows({"train": np.array([3, 0, 5]), "dev": np.array([2])}, copies=2),
    }
    digests = [str(choice.digest()) for choice in (windows, *other.values())]
    assert len(set(digests)) == len(digests)
    narrow = {split: rows.astype(np.int32) for split, rows in windows.rows.items()}
    assert Windows(narrow, copies=2).digest() == windows.digest(), "the rows count, not the type that holds them"


def test_a_tensor_shares_the_memory_of_its_windows(store: TokenStore) -> None:
    windows = store.windows("train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = window_tensor(windows)
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.uint16, windows.shape)
    assert tensor.data_ptr() == windows.ctypes.data
    assert np.array_equal(tensor.numpy(), windows)
