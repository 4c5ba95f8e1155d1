"""The ten rows of the poster by name: models, teachers, losses and recipes as it has them, and its published scores.

The scores are those of the project's README (github.com/leahphw/babylm), accuracies with standard errors.
`reproduce.scales` has what becomes of a row at a smaller scale. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from palenka_tune.config.recipe import Recipe
from palenka_tune.errors import UserError, nearest

RowKind = Literal["baseline", "vanilla_kd", "dskd"]
Accuracy = tuple[float, float]
"""(mean, standard error), both in [0, 1]."""


@dataclass(frozen=True)
class Published:
    """What the poster's project reports of a row: the size in its name, and accuracies (None: not published)."""

    parameters_named: int
    blimp_supplement: Accuracy | None = None
    blimp_filtered: Accuracy | None = None
    ewok_filtered: Accuracy | None = None


@dataclass(frozen=True)
class Row:
    """One system of the poster: loss = ce_weight * CE + alpha * KL + beta * H at `temperature`.

    `preset` and the keys of `teacher_recipes` are the poster's architectures, `recipe` and its values the poster's
    settings. What unit `alpha` has (per token, or summed over a window as published) is for the method to say.
    """

    name: str
    kind: RowKind
    preset: str
    recipe: Recipe
    published: Published
    teacher_recipes: Mapping[str, Recipe] = field(default_factory=dict)
    ce_weight: float = 1.0
    alpha: float = 0.0
    beta: float = 0.0
    temperature: float = 2.0

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers' architectures, in the order of the contract."""
        return tuple(self.teacher_recipes)


def _plain(lr: float, epochs: float = 10) -> Recipe:
    """Training without teachers, of a baseline or of a teacher."""
    return Recipe(lr=lr, batch_size=128, epochs=epochs, warmup_steps=300)


_STUDENT = Recipe(lr=2.5e-4, batch_size=32, epochs=6, warmup_steps=200, weight_decay=0.1)
_SMALL_TEACHERS = {"GPT2-44M": _plain(7e-4, epochs=6), "Llama-60M": _plain(3e-4, epochs=4)}
_LARGE_TEACHERS = {"GPT2-705M": _plain(2.5e-4, epochs=4), "Llama-360M": _plain(3e-4, epochs=4)}


def _published(name: str, *scores: Accuracy) -> Published:
    """`GPT2-44M` has 44 million in its name."""
    millions = name.rpartition("-")[2].removesuffix("M")
    return Published(1_000_000 * int(millions), *scores)


def _baseline(name: str, lr: float, *scores: Accuracy) -> Row:
    return Row(name, "baseline", name, _plain(lr), _published(name, *scores))


def _vanilla_kd(name: str, teachers: Mapping[str, Recipe], *scores: Accuracy) -> Row:
    return Row(name, "vanilla_kd", name, _STUDENT, _published(name, *scores), teachers, ce_weight=0.5, alpha=0.5)


def _dskd(alpha: float, beta: float, *scores: Accuracy) -> Row:
    preset = "PalenkaLlama1-58M"
    name, published = f"{preset}-L{alpha}-H{beta}", _published(preset, *scores)
    return Row(name, "dskd", preset, _STUDENT, published, _LARGE_TEACHERS, alpha=alpha, beta=beta)


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        _baseline("GPT2-44M", 7e-4),
        _baseline("Llama-60M", 3e-4),
        _baseline("GPT2-small-97M", 7e-4, (0.596, 0.0054), (0.670, 0.0017), (0.504, 0.0057)),
        _baseline("GPT2-705M", 2.5e-4),
        _baseline("Llama-360M", 3e-4),
        _vanilla_kd("DistilledGPT-44M", _SMALL_TEACHERS, (0.588, 0.0053), (0.658, 0.0016), (0.500, 0.0057)),
        _vanilla_kd("BabyLlama1-58M", _LARGE_TEACHERS, (0.581, 0.0054), (0.676, 0.0016), (0.501, 0.0057)),
        _dskd(0.1, 0.1, (0.596, 0.0054), (0.694, 0.0016), (0.500, 0.0057)),
        _dskd(0.1, 0.3, (0.599, 0.0053), (0.693, 0.0016), (0.499, 0.0057)),
        _dskd(0.1, 0.5, (0.606, 0.0050), (0.694, 0.0016), (0.503, 0.0057)),
    )
}


def chosen_rows(names: Iterable[str] | None = None) -> list[Row]:
    """The rows called `names` (None: all ten), each once and in the poster's order, so that teachers come first;
    `UserError` with the nearest known name if there is no such row."""
    wanted = list(ROWS if names is None else names)
    for name in wanted:
        if name not in ROWS:
            raise UserError(f"there is no row {name!r} in the poster{nearest(name, ROWS)}")
    if not wanted:
        raise UserError(f"no row was named; give one or more of {', '.join(ROWS)}")
    return [row for name, row in ROWS.items() if name in wanted]
