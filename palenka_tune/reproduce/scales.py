"""The scales at which the poster's rows can be run, and what a row's architectures and recipes become at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from palenka_tune.config.recipe import Recipe
from palenka_tune.errors import UserError, nearest
from palenka_tune.models.presets import SEPARATOR, SHRINKAGES, ModelPreset, get_preset
from palenka_tune.teachers.spec import TeacherSpec


@dataclass(frozen=True)
class ReproduceScale:
    """A size at which the rows are run; its name is also that of the presets (`NAME@SCALE`).

    `vocabulary` is the tokenizer's size, `window` the tokens of a window, `dev_windows` those that measure `val/ce`.
    Schedules shrink with the models and the data: `epochs` and `warmup` are what the poster's epochs and warm-up steps
    are divided by, `batch_sizes` what its batches become. `micro_batch` is the most windows that go through a model at
    once (None: a whole batch). `bytes_per_token` is what the tokenizer of that size makes of English stories
    (`reproduce.cost`).
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

    def preset(self, name: str) -> ModelPreset:
        """The poster's architecture `name` at this scale: `NAME@SCALE`, at the poster's scale `NAME` itself."""
        return get_preset(f"{name}{SEPARATOR}{self.name}")

    def recipe(self, recipe: Recipe) -> Recipe:
        """The poster's recipe at this scale; at the poster's scale the same numbers, in micro-batches.

        The learning rate is multiplied by the width divisor: the best rate of Adam for hidden matrices goes as
        1 / width (Yang et al. 2022, arXiv:2203.03466).
        """
        batch_size = self.batch_sizes[recipe.batch_size]
        return replace(
            recipe,
            lr=recipe.lr * SHRINKAGES[self.name].width,
            batch_size=batch_size,
            epochs=recipe.epochs / self.epochs,
            warmup_steps=round(recipe.warmup_steps / self.warmup),
            accumulate=max(1, batch_size // (self.micro_batch or batch_size)),
        )

    def training(self, name: str, recipe: Recipe, seed: int) -> TeacherSpec:
        """The training without teachers of the poster's architecture `name` with its `recipe`, at this scale."""
        return TeacherSpec(self.preset(name), self.recipe(recipe), seed)


SCALES: dict[str, ReproduceScale] = {
    scale.name: scale
    for scale in (  # name, vocabulary, window, dev windows; and what the schedules become
        ReproduceScale("tiny", 2048, 64, 512, epochs=10, warmup=8, batch_sizes={128: 16, 32: 16}, bytes_per_token=3.39),
        ReproduceScale(
            "small", 4096, 128, 2048, epochs=2.5, warmup=2, batch_sizes={128: 64, 32: 32}, bytes_per_token=3.82
        ),
        ReproduceScale(
            "poster",
            16_000,
            128,
            8192,
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
