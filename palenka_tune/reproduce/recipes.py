"""The ten rows of the poster by name, and what becomes of them at a smaller scale.

In: a row's name and a scale's. Out: which architecture learns from which teachers, with what loss and recipe, and the
scores that were published. A `Row` holds the poster's own values; `row_recipe`, `teacher_recipe` and `preset_name` give
those of a scale. Standard library only.

The published scores are those of the project's README (github.com/leahphw/babylm), accuracies with standard errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from palenka_tune.config.recipe import Recipe
from palenka_tune.errors import UserError, nearest
from palenka_tune.models.presets import SEPARATOR, SHRINKAGES, get_preset

RowKind = Literal["baseline", "vanilla_kd", "dskd"]
Accuracy = tuple[float, float]
"""(mean, standard error), both in [0, 1]."""

NOT_PUBLISHED = "not published"
SUITES = ("blimp_supplement", "blimp_filtered", "ewok_filtered")


@dataclass(frozen=True)
class Published:
    """What the poster's project says of a row: the size that its name states, and accuracies (None: not published)."""

    parameters_named: int
    blimp_supplement: Accuracy | None = None
    blimp_filtered: Accuracy | None = None
    ewok_filtered: Accuracy | None = None

    def text(self, suite: str) -> str:
        """An accuracy of `SUITES` in percent as tables show it, such as `69.4 ± 0.2`."""
        score: Accuracy | None = getattr(self, suite)
        return NOT_PUBLISHED if score is None else f"{100 * score[0]:.1f} ± {100 * score[1]:.1f}"


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


def _named_size(name: str) -> int:
    """The parameters that a name states: `GPT2-44M` has 44 million in its name."""
    found = re.search(r"-(\d+)M\b", name)
    assert found, f"row {name} states no size"
    return int(found[1]) * 1_000_000


def _baseline(name: str, lr: float, *scores: Accuracy) -> Row:
    return Row(name, "baseline", name, _plain(lr), Published(_named_size(name), *scores))


def _vanilla_kd(name: str, teachers: Mapping[str, Recipe], *scores: Accuracy) -> Row:
    published = Published(_named_size(name), *scores)
    return Row(name, "vanilla_kd", name, _STUDENT, published, teachers, ce_weight=0.5, alpha=0.5)


def _dskd(alpha: float, beta: float, *scores: Accuracy) -> Row:
    preset = "PalenkaLlama1-58M"
    published = Published(_named_size(preset), *scores)
    name = f"{preset}-L{alpha}-H{beta}"
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


def get_row(name: str) -> Row:
    """The row called `name`; `UserError` with the nearest known name if there is none."""
    if name not in ROWS:
        raise UserError(f"there is no row {name!r} in the poster{nearest(name, ROWS)}")
    return ROWS[name]


def chosen_rows(names: Iterable[str] | None = None) -> list[Row]:
    """The rows called `names` (None: all ten), each once and in the poster's order, so that teachers come first."""
    wanted = set(ROWS) if names is None else {get_row(name).name for name in names}
    if not wanted:
        raise UserError(f"no row was named; give one or more of {', '.join(ROWS)}")
    return [row for name, row in ROWS.items() if name in wanted]


@dataclass(frozen=True)
class ReproduceScale:
    """A size at which the rows are run; its name is also that of the presets (`NAME@SCALE`).

    `vocabulary` is the tokenizer's size, `window` the tokens of a window, `dev_windows` those that measure `val/ce`.
    Schedules shrink with the models and the data: `epochs` and `warmup` are what the poster's epochs and warm-up steps
    are divided by, `batch_sizes` what its batches become. `micro_batch` is the most windows that go through a model at
    once (None: a whole batch). `bytes_per_token` is what the tokenizer of that size makes of English stories
    (`reproduce.size`).
    """

    name: str
    vocabulary: int
    window: int
    dev_windows: int
    epochs: float
    warmup: float
    batch_sizes: Mapping[int, int]
    bytes_per_token: float
    micro_batch: int | None = None

    @property
    def width_divisor(self) -> int:
        return SHRINKAGES[self.name].width


SCALES: dict[str, ReproduceScale] = {
    scale.name: scale
    for scale in (
        ReproduceScale(
            "tiny",
            vocabulary=2048,
            window=64,
            dev_windows=512,
            epochs=10,
            warmup=8,
            batch_sizes={128: 16, 32: 16},
            bytes_per_token=3.39,
        ),
        ReproduceScale(
            "small",
            vocabulary=4096,
            window=128,
            dev_windows=2048,
            epochs=2.5,
            warmup=2,
            batch_sizes={128: 64, 32: 32},
            bytes_per_token=3.82,
        ),
        ReproduceScale(
            "poster",
            vocabulary=16_000,
            window=128,
            dev_windows=8192,
            epochs=1,
            warmup=1,
            batch_sizes={128: 128, 32: 32},
            bytes_per_token=4.36,
            micro_batch=32,  # the 705 M teacher then trains on a GPU with 24 GB
        ),
    )
}


def get_scale(name: str) -> ReproduceScale:
    """The scale called `name`; `UserError` with the nearest known name if there is none."""
    if name not in SCALES:
        raise UserError(f"there is no scale {name!r} of the poster{nearest(name, SCALES)}")
    return SCALES[name]


def preset_name(name: str, scale: ReproduceScale) -> str:
    """The preset of the poster's architecture `name` at `scale`: `NAME@SCALE`, at the poster's scale `NAME` itself."""
    return get_preset(f"{name}{SEPARATOR}{scale.name}").name


def row_recipe(row: Row, scale: ReproduceScale) -> Recipe:
    """How the row's own model is trained at `scale`."""
    return scaled(row.recipe, scale)


def teacher_recipe(name: str, row: Row, scale: ReproduceScale) -> Recipe:
    """How the row's teacher `name` (the poster's) is trained at `scale`; `UserError` if the row has no such teacher."""
    if name not in row.teacher_recipes:
        raise UserError(f"row {row.name} has no teacher {name!r}{nearest(name, row.teachers)}")
    return scaled(row.teacher_recipes[name], scale)


def scaled(recipe: Recipe, scale: ReproduceScale) -> Recipe:
    """The poster's recipe at `scale`; at the poster's scale the same numbers, in micro-batches.

    The learning rate is multiplied by the width divisor: the best rate of Adam for hidden matrices goes as 1 / width
    (Yang et al. 2022, arXiv:2203.03466).
    """
    batch_size = scale.batch_sizes[recipe.batch_size]
    return replace(
        recipe,
        lr=recipe.lr * scale.width_divisor,
        batch_size=batch_size,
        epochs=recipe.epochs / scale.epochs,
        warmup_steps=round(recipe.warmup_steps / scale.warmup),
        accumulate=max(1, batch_size // (scale.micro_batch or batch_size)),
    )
