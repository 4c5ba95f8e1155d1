"""Sizes of experiment: which student, which teachers and which recipes go together.

`tiny` takes minutes on a laptop, `small` one modest GPU (or hours of CPU), `poster` is the published study. A
configuration may override every field of a scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from palenka_tune.config.recipe import Recipe
from palenka_tune.errors import UserError, nearest
from palenka_tune.limits import Limits, Strict, check_fields
from palenka_tune.models.presets import ModelPreset, get_preset


@dataclass(frozen=True)
class Scale(Strict):
    """A student, its teachers and the data they see.

    `vocabulary` is the tokenizer's size to train, `window` the tokens T of a window. `dev_windows` fixes how many dev
    windows measure `val/ce` and `train_windows` caps the student's training windows (None: all there are). Teachers
    are pairs of preset name and recipe and always see all training windows.

    Raises:
        UserError: if a preset is unknown or a size is not positive.
    """

    name: str
    vocabulary: Annotated[int, Limits(ge=1)]
    window: Annotated[int, Limits(ge=1)]
    student: str
    student_recipe: Recipe
    teachers: tuple[tuple[str, Recipe], ...]
    dev_windows: Annotated[int, Limits(ge=1)] | None = None
    train_windows: Annotated[int, Limits(ge=1)] | None = None

    def __post_init__(self) -> None:
        check_fields(self, f"scale {self.name!r}: ")
        for preset in (self.student, *(teacher for teacher, _ in self.teachers)):
            get_preset(preset)


SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            name="tiny",
            vocabulary=2048,
            window=64,
            student="Student-tiny",
            student_recipe=Recipe(lr=3e-3, batch_size=16, epochs=1, warmup_steps=20),
            teachers=(
                ("GPT2-tiny", Recipe(lr=3e-3, batch_size=16, epochs=4, warmup_steps=40)),
                ("Llama-tiny", Recipe(lr=3e-3, batch_size=16, epochs=4, warmup_steps=40)),
            ),
            dev_windows=512,
        ),
        Scale(
            name="small",
            vocabulary=4096,
            window=128,
            student="Student-small",
            student_recipe=Recipe(lr=2e-3, batch_size=32, epochs=2, warmup_steps=50),
            teachers=(
                ("GPT2-small", Recipe(lr=1.5e-3, batch_size=16, epochs=4, warmup_steps=40, weight_decay=0.5)),
                ("Llama-small", Recipe(lr=1.5e-3, batch_size=16, epochs=4, warmup_steps=40, weight_decay=0.5)),
            ),
        ),
        Scale(
            name="poster",
            vocabulary=16_000,
            window=128,
            student="BabyLlama1-58M",
            student_recipe=Recipe(lr=2.5e-4, batch_size=32, epochs=6, warmup_steps=200, weight_decay=0.1),
            # Micro-batches of 32 windows, so that the 705 M teacher trains on a GPU with 24 GB.
            teachers=(
                ("GPT2-705M", Recipe(lr=2.5e-4, batch_size=128, epochs=4, warmup_steps=300, accumulate=4)),
                ("Llama-360M", Recipe(lr=3e-4, batch_size=128, epochs=4, warmup_steps=300, accumulate=4)),
            ),
            dev_windows=8192,
        ),
    )
}


def get_scale(name: str) -> Scale:
    """The scale called `name`; `UserError` with the nearest known name if there is none."""
    if name not in SCALES:
        raise UserError(f"there is no scale {name!r}{nearest(name, SCALES)}")
    return SCALES[name]


def parameter_count(preset: ModelPreset, vocabulary_size: int, window: int) -> int:
    """Exact parameters of the preset's model, counted on the meta device (no memory, no weights drawn)."""
    from palenka_tune.models.build import build_model, count_parameters  # transformers: only when a count is wanted

    return count_parameters(build_model(preset, vocabulary_size=vocabulary_size, window=window, device="meta"))
