"""What is known of a search's headroom before it begins: earlier searches of its storage may have measured it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from palenka_tune.config.files import read_json
from palenka_tune.data.prepare import TRAIN
from palenka_tune.errors import PalenkaError
from palenka_tune.runs.run_folder import SEARCH_YAML
from palenka_tune.runs.summary import SUMMARY
from palenka_tune.spaces.serialise import tree
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.students.headroom import Headroom

SAME = ("scale", "data", "student", "teachers")
"""Keys of `search.yaml` that shape the headroom."""


def known_headroom(config: SearchConfig, storage: Path) -> tuple[str, Headroom] | None:
    """The last search in the folder `storage` with the same text, student and teachers that measured it: its name and
    what it found; None if there is none."""
    asked = tree(config)
    for path in sorted(storage.glob(f"*/{SUMMARY}"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            known = (read_json(path) or {}).get("headroom")
            found = yaml.safe_load((path.parent / SEARCH_YAML).read_text(encoding="utf-8"))
        except (PalenkaError, OSError, yaml.YAMLError):
            continue  # of a run that is damaged, or of another kind
        if known and all(_set(found.get(key)) == _set(asked.get(key)) for key in SAME):
            return path.parent.name, Headroom.of(known)
    return None


def _set(settings: Any) -> Any:
    """Settings without those that are as if they were not there, and which an earlier version did not know."""
    if not isinstance(settings, dict):
        return settings
    defaults = {"tokenizer": TRAIN, "unit": "line", "init": "fresh"}
    return {name: value for name, value in settings.items() if value is not None and defaults.get(name) != value}


def sentences(config: SearchConfig, storage: Path) -> tuple[list[str], Headroom | None]:
    """What to say of it, and the headroom if it is known."""
    if not config.experiment.teachers:
        return ["none: no teachers"], None
    known = known_headroom(config, storage)
    if known is None:
        return ["not known yet; a search measures it when its teachers are ready, and says it"], None
    name, headroom = known
    first, *more = headroom.sentences()
    return [f"as {name} found: {first}", *more], headroom
