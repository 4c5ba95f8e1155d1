"""Where a student comes from, as a model card names it: its data and its teachers, their licences and languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from palenka_tune.data.hub import is_dataset_id
from palenka_tune.models.given import hub_name


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as the front matter names it: the data's `corpus` and its `dataset` on the hub, the
    teachers' names on the hub (`base_models`), their `licence` and `languages` as far as their own cards say."""

    corpus: str
    dataset: str | None = None
    base_models: tuple[str, ...] = ()
    licence: str | None = None
    languages: tuple[str, ...] = ()


def origin_of(corpus: str, teachers: Sequence[Path]) -> Origin:
    """The origin of a student of the corpus called `corpus` and the teachers in these folders.

    A licence is named if all teachers with a card share it.
    """
    cards = [_front_matter(folder) for folder in teachers]
    licences = {str(card["license"]) for card in cards if card.get("license")}
    languages = [str(each) for card in cards for each in _listed(card.get("language"))]
    return Origin(
        corpus,
        corpus if is_dataset_id(corpus) else None,
        tuple(name for folder in teachers if (name := hub_name(folder)) is not None),
        licences.pop() if len(licences) == 1 else None,
        tuple(dict.fromkeys(languages)),
    )


def _front_matter(folder: Path) -> dict[str, Any]:
    """What a model folder's README.md says at its top; nothing if there is none, or it is not as it should be."""
    try:
        parts = (folder / "README.md").read_text(encoding="utf-8").split("---", 2)
        found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
