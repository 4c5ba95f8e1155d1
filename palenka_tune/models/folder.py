"""What a Hugging Face model folder must hold, checked in a moment and without loading torch.

Our exports note in `config.json`, under `palenka_tune`, which tokenizer they were made with; a folder that holds
another one is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from palenka_tune.config.files import read_json
from palenka_tune.errors import PalenkaError, UserError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
STUDENT = "student"  # the model folder in that of a student's training
NOTE = "palenka_tune"
"""Our key in `config.json`: the training `window` in tokens, the `unit` that one text was (if not a line), and
`tokenizer_sha256`."""
BEST, SEARCH_YAML = "best", "search.yaml"  # in a run's folder: the best student, and what was searched


def find_model(path: str | Path) -> Path:
    """The model folder that `path` stands for: itself, or the best student of the search that it is the folder of.

    Raises:
        UserError: for a search without a best student yet.
    """
    path = Path(path).expanduser()
    if (path / "config.json").is_file() or not (path / SEARCH_YAML).is_file():
        return path
    if not (path / BEST / "config.json").is_file():
        raise UserError(
            f"{path} is the folder of a search that has no {BEST}/ yet; finish it (--resume --name {path.name}), or "
            "give a model's folder"
        )
    return path / BEST


def check_model_folder(path: str | Path) -> Path:
    """The folder, if it looks complete.

    Raises:
        UserError: if it is no folder, lacks a file of the model or of the tokenizer, or holds another tokenizer than
            the one that the model was exported with.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; give a local Hugging Face model folder (names are not fetched)")
    missing = [name for name in ("config.json", *TOKENIZER_FILES) if not (path / name).is_file()]
    if not any((path / name).is_file() for name in WEIGHT_FILES):
        missing.insert(0, "model.safetensors")
    if missing:
        kind = "has no tokenizer" if set(missing) <= set(TOKENIZER_FILES) else "is not a Hugging Face model folder"
        raise UserError(f"{path} {kind}: {', '.join(missing)} not found; give a folder written by save_pretrained")
    try:
        note = read_json(path / "config.json").get(NOTE)
        expected = note.get("tokenizer_sha256") if isinstance(note, dict) else None
        other = expected is not None and expected != tokenizer_digest(path)
    except (PalenkaError, AttributeError):
        return path  # damaged: loading it says how
    if other:
        raise UserError(
            f"{path}/tokenizer.json is not the tokenizer that the model was exported with; put the right one there or "
            "export the model again"
        )
    return path


def tokenizer_digest(folder: str | Path) -> str:
    """SHA-256, in hex, of what a folder's `tokenizer.json` makes of a text.

    Padding and truncation are left out: transformers writes those of the latest call when it saves a tokenizer again.
    """
    tokenizer = read_json(Path(folder) / "tokenizer.json")
    lasting = {name: value for name, value in tokenizer.items() if name not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(lasting, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
