"""Suites from the Hugging Face hub, by way of the optional `datasets` library.

In: nothing but the names of the public datasets below. Out: the same `Suite` as from a folder. EWoK's items are gated:
its authors ask that nobody trains on them, and give access to who accepts their terms on the dataset's page and logs
in. Whoever has none gets a sentence that says so. Nothing of it is kept outside the library's own cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from palenka_tune.data.hub import require_datasets
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation.ewok import ewok_suite
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Suite, text_field

HUB = "hub"
BLIMP = "nyu-mll/blimp"
EWOK = "ewok-core/ewok-core-1.0"


def load_blimp() -> Suite:
    """BLiMP's 67 paradigms, which the hub keeps as one configuration each."""
    require_datasets(BLIMP)
    import datasets

    names = _fetched(BLIMP, lambda: datasets.get_dataset_config_names(BLIMP))
    rows = {
        name: _fetched(BLIMP, functools.partial(datasets.load_dataset, BLIMP, name, split="train")) for name in names
    }
    return blimp_suite(rows)


def blimp_suite(rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Suite:
    """A suite of the hub's rows by paradigm."""
    paradigms = []
    for uid, records in rows.items():
        path, pairs = Path(BLIMP) / uid, []
        labels: tuple[str | None, str | None] = (None, None)
        for number, record in enumerate(records, start=1):
            where = f"{path}, row {number}"
            good, bad = (text_field(record, name, where, "BLiMP") for name in ("sentence_good", "sentence_bad"))
            pairs.append(MinimalPair(good, bad, number, record=dict(record)))
            labels = (record.get("linguistics_term"), record.get("field"))
        if not pairs:
            raise UserError(f"{path}: no minimal pair in it; try again later or give --source a folder")
        paradigms.append(Paradigm(uid, path, *labels, tuple(pairs)))
    return Suite("blimp", tuple(sorted(paradigms, key=lambda paradigm: paradigm.uid)))


def load_ewok() -> Suite:
    """EWoK's items, for who has accepted its terms."""
    require_datasets(EWOK)
    import datasets

    try:
        rows = _fetched(EWOK, lambda: datasets.load_dataset(EWOK, split="test"))
    except PalenkaError as error:
        raise UserError(
            f"EWoK could not be loaded ({error}); its items are gated: accept the terms on "
            f"https://huggingface.co/datasets/{EWOK}, log in with `hf auth login`, and run again, or give --source a "
            "folder that holds ewok/"
        ) from None
    return ewok_suite((Path(EWOK), number, record) for number, record in enumerate(rows, start=1))


def _fetched(dataset: str, fetch: Callable[[], Any]) -> Any:
    """What `fetch()` returns; raises `PalenkaError` in one line if the hub does not give it."""
    try:
        return fetch()
    except Exception as error:  # the hub's library raises whatever its parts raise, for access and network alike
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PalenkaError(
            f"the Hugging Face hub does not give {dataset} ({reason}); try again later, or give --source a folder"
        ) from None
