"""A dataset of the Hugging Face hub as a corpus folder in the BabyLM layout.

In goes a dataset id (`owner/name`), out comes a content-addressed folder with `train/<name>.train`, `dev/<name>.dev`
and, if there is one, `test/<name>.test`. Needs the optional `datasets` library; no code of the dataset is ever run.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from palenka_tune.config.artifacts import build_once
from palenka_tune.config.files import fingerprint
from palenka_tune.data.corpus import NAMES
from palenka_tune.errors import PalenkaError, UserError

logger = logging.getLogger(__name__)
HUB_VERSION = 1
STRING_TYPES = ("string", "large_string")


def is_dataset_id(source: str) -> bool:
    """Whether `source` reads as `owner/name` and no such local path exists; paths begin with `.`, `/` or `~`."""
    looks_like_id = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", source) is not None
    return looks_like_id and not Path(source).exists()


def require_datasets(source: str) -> None:
    """Raise `UserError` with the command to run if the `datasets` library is not installed."""
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            f"'{source}' is no folder here, and to load it as a Hugging Face dataset the datasets library is needed; "
            "correct the path or run: pip install 'palenka-tune[hub]'"
        )


def download(source: str, corpora: Path) -> Path:
    """Load the dataset `source` from the hub and return its folder below `corpora`.

    Raises `UserError` for an unknown or private dataset, for one that needs a configuration, and for missing splits or
    text.
    """
    require_datasets(source)
    import datasets

    logger.info(f"loading {source} from the Hugging Face hub")
    try:
        loaded = datasets.load_dataset(source)
    except (datasets.exceptions.DatasetNotFoundError, ValueError) as error:
        raise UserError(
            f"'{source}' is no folder here, and as a Hugging Face dataset it cannot be loaded ({_one_line(error)}); "
            "correct the path or the id, log in if it is private, or download it and give the folder"
        ) from None
    except (OSError, RuntimeError) as error:
        raise PalenkaError(
            f"'{source}' is no folder here, and the Hugging Face hub could not be reached ({_one_line(error)}); "
            "correct the path, try again later, or download the dataset and give the folder"
        ) from None
    return write_dataset(source, loaded, corpora)


def write_dataset(source: str, loaded: Mapping[str, Any], corpora: Path) -> Path:
    """Write the splits of `loaded` (a `DatasetDict`) as a corpus folder, once; documents are parted by blank lines."""
    splits = _splits(source, loaded)
    columns = {split: _text_column(source, dataset) for split, dataset in splits.items()}
    shaped_by = {
        "source": source,
        "version": HUB_VERSION,
        "splits": {split: [dataset._fingerprint, len(dataset), columns[split]] for split, dataset in splits.items()},
    }
    name = source.rsplit("/", 1)[-1]
    folder = corpora / f"{name}-{fingerprint(shaped_by)}"

    def build(temporary: Path) -> dict[str, Any]:
        for split, dataset in splits.items():
            logger.info(f"writing {split} of {source}: {len(dataset):,} rows")
            path = temporary / split / f"{name}.{split}"
            path.parent.mkdir(parents=True)
            _write_documents(path, (row[columns[split]] for row in dataset))
        return {"kind": "corpus", "shaped_by": shaped_by}

    build_once(folder, build)
    return folder


def _write_documents(path: Path, documents: Iterable[str | None]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for document in documents:
            if document and document.strip():
                file.write(document.strip("\n") + "\n\n")


def _splits(source: str, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """The train, dev and test splits under our names; train and dev must be there."""
    found = {}
    for split, names in NAMES.items():
        name = next((name for name in names if name in loaded), None)
        if name is not None:
            found[split] = loaded[name]
        elif split != "test":
            raise UserError(
                f"the Hugging Face dataset '{source}' has no {' or '.join(names)} split (it has "
                f"{', '.join(loaded)}); download it, hold out a part and give the folder"
            )
    return found


def _text_column(source: str, dataset: Any) -> str:
    """`text`, or the only column of strings."""
    strings = [name for name, feature in dataset.features.items() if getattr(feature, "dtype", "") in STRING_TYPES]
    if "text" in strings:
        return "text"
    if len(strings) != 1:
        raise UserError(
            f"the Hugging Face dataset '{source}' must have a column 'text' or exactly one column of strings, and it "
            f"has {', '.join(strings) or 'none'}; download it and give a folder with the text"
        )
    return str(strings[0])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
