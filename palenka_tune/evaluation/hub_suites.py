"""BLiMP and EWoK from the Hugging Face hub, by way of the optional `datasets` library.

EWoK's items are gated: its authors ask that nobody trains on them, and give access to those who accept their terms on
the dataset's page and log in. Without access the error says so. Nothing is kept outside the library's own cache.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from palenka_tune.data.hub import require_datasets
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation.blimp import blimp_suite
from palenka_tune.evaluation.ewok import ewok_suite
from palenka_tune.evaluation.suite import Suite, rows_of

HUB = "hub"
BLIMP = "nyu-mll/blimp"
EWOK = "ewok-core/ewok-core-1.0"


def load_blimp() -> Suite:
    """BLiMP's 67 paradigms, which the hub keeps as one configuration each."""
    with _hub(BLIMP, PalenkaError, "try again later, or give --source a folder") as datasets:
        names = sorted(datasets.get_dataset_config_names(BLIMP))
        records = [datasets.load_dataset(BLIMP, name, split="train") for name in names]
    files = (rows_of(Path(BLIMP) / name, enumerate(lines, start=1)) for name, lines in zip(names, records, strict=True))
    return blimp_suite(row for rows in files for row in rows)


def load_ewok() -> Suite:
    """EWoK's items, for those who have accepted its terms."""
    hint = (
        f"its items are gated: accept the terms on https://huggingface.co/datasets/{EWOK}, log in with "
        "`hf auth login`, and run again, or give --source a folder that holds ewok/"
    )
    with _hub(EWOK, UserError, hint) as datasets:
        records = datasets.load_dataset(EWOK, split="test")
    return ewok_suite(rows_of(Path(EWOK), enumerate(records, start=1)))


@contextlib.contextmanager
def _hub(dataset: str, failure: type[PalenkaError], hint: str) -> Iterator[Any]:
    """The `datasets` library, any error of which is raised as a `failure` of one line that ends in `hint`."""
    require_datasets(dataset)
    import datasets

    try:
        yield datasets
    except Exception as error:  # the library raises whatever its parts raise, for access and network alike
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise failure(f"the Hugging Face hub does not give {dataset} ({reason}); {hint}") from None
