"""Where a model comes from, as people write it.

    GPT2-tiny              a preset, to be trained
    ./folder, folder       a Hugging Face folder
    run:NAME               the best student of the search NAME in the same storage
    OWNER/NAME[@REVISION]  the Hugging Face hub; with `hub:` before it whatever folders there are

Standard library only, so that a search space can be checked without loading torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from palenka_tune.errors import UserError
from palenka_tune.models.presets import get_preset, is_preset

RUN, HUB = "run:", "hub:"
_REPOSITORY = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Source:
    """A model's `kind` and its `name`: a preset's, a path, a search's, or a repository of the hub at a `revision`."""

    kind: Literal["preset", "folder", "run", "hub"]
    name: str
    revision: str | None = None


def source_of(text: str) -> Source:
    """What `text` names; raises `UserError` if it is nothing of the kind. Whether it exists is not asked."""
    if text.startswith(RUN):
        return Source("run", text.removeprefix(RUN))
    if text.startswith(HUB):
        return _on_hub(text.removeprefix(HUB), text)
    if is_preset(text):
        return Source("preset", text)
    if Path(text).expanduser().is_dir() or text.startswith((".", "~", "/")):
        return Source("folder", text)
    if "/" in text:
        return _on_hub(text, text)
    get_preset(text)  # raises, with the nearest name
    raise AssertionError(text)


def _on_hub(repository: str, text: str) -> Source:
    found = _REPOSITORY.fullmatch(repository)
    if found is None:
        raise UserError(
            f"{text} is no folder here and no repository of the Hugging Face hub; give a folder, or hub:OWNER/NAME"
        )
    return Source("hub", found["name"], found["revision"])
