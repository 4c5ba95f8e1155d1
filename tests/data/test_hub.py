"""Hugging Face datasets as corpora, from datasets built in memory; the hub itself is never asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from palenka_tune.data import hub
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import DataSettings, check
from palenka_tune.errors import UserError

ROWS = {"train": ["One line.\nAnother line.", "", "Third."], "validation": ["Dev."], "test": ["Test."]}


class Table(list):
    """The part of a `datasets.Dataset` that is read: rows, `features`, `_fingerprint`."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__(rows)
        self.features = {
            name: SimpleNamespace(dtype="string" if isinstance(value, str) else "int64")
            for name, value in rows[0].items()
        }
        self._fingerprint = str(rows)


def tables(column: str = "text", **more: Any) -> dict[str, Table]:
    return {split: Table([{**more, column: row} for row in rows]) for split, rows in ROWS.items()}


def test_written_as_a_corpus_once(tmp_path: Path, logged) -> None:
    folder = hub.write_dataset("owner/my-set", tables(), tmp_path)
    corpus = open_corpus(folder)
    assert [file.path.name for file in corpus.files] == ["my-set.train", "my-set.dev", "my-set.test"]
    assert list(corpus.lines("train")) == ["One line.", "Another line.", "Third."]
    assert corpus.files[0].path.read_text() == "One line.\nAnother line.\n\nThird.\n\n"
    logged.clear()
    assert hub.write_dataset("owner/my-set", tables(), tmp_path) == folder
    assert logged == []
    changed = tables()
    changed["train"] = Table([{"text": "Other."}])
    assert hub.write_dataset("owner/my-set", changed, tmp_path) != folder


def test_text_column(tmp_path: Path) -> None:
    hub.write_dataset("owner/a", tables(text="Yes.", id="7"), tmp_path)
    hub.write_dataset("owner/b", tables("sentence", id=7), tmp_path)
    with pytest.raises(
        UserError, match="must have a column 'text' or exactly one column of strings, and it has title, body"
    ):
        hub.write_dataset("owner/c", tables("body", title="x"), tmp_path)
    numbers = {split: Table([{"id": 1}]) for split in ROWS}
    with pytest.raises(UserError, match="and it has none"):
        hub.write_dataset("owner/d", numbers, tmp_path)


def test_missing_splits(tmp_path: Path) -> None:
    loaded = tables()
    del loaded["validation"]
    with pytest.raises(UserError, match=r"has no dev or validation or valid split \(it has train, test\)"):
        hub.write_dataset("owner/a", loaded, tmp_path)


def test_ids_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/set").mkdir(parents=True)
    assert hub.is_dataset_id("owner/name.v2")
    for path in (
        "data/set",
        "./owner/name",
        "/owner/name",
        "~/name",
        "../name",
        "name",
        "a/b/c",
        "owner/",
        "babytalk",
        "a b/c",
    ):
        assert not hub.is_dataset_id(path), path


def test_the_library_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "datasets" else real(name))
    with pytest.raises(UserError, match=r"'owner/name' is no folder here.*pip install 'palenka-tune\[hub\]'"):
        check(DataSettings(source="owner/name"))


def test_a_real_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the optional datasets library is not installed")
    loaded = datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict({"id": list(range(len(rows))), "line": rows})
            for split, rows in ROWS.items()
        }
    )
    folder = hub.write_dataset("owner/real", loaded, tmp_path / "corpora")
    assert list(open_corpus(folder).lines("train")) == ["One line.", "Another line.", "Third."]
    assert hub.write_dataset("owner/real", loaded, tmp_path / "corpora") == folder


def test_an_unreachable_or_unknown_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the optional datasets library is not installed")

    def unknown(source: str) -> None:
        raise datasets.exceptions.DatasetNotFoundError("doesn't exist\non the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unknown)
    with pytest.raises(UserError, match=r"'owner/name' is no folder here.*doesn't exist on the Hub"):
        hub.download("owner/name", tmp_path)
