"""The poster's architectures at a fraction of their size, by names such as `GPT2-705M@tiny`.

In: a preset and the divisors of its widths and of its depth. Out: a preset whose dimensions still fit together. What is
kept is the family, whether the head is tied, the proportions between student and teachers, and as many attention heads
as their dimensions allow. `presets.get_preset` resolves the names; `NAME@poster` is the preset itself, so that both
names lead to the same artifacts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from palenka_tune.errors import UserError, nearest

if TYPE_CHECKING:
    from palenka_tune.models.presets import ModelPreset

SEPARATOR = "@"
FEWEST_LAYERS = 2  # one layer cannot compose what another has found, and has no state between input and output


@dataclass(frozen=True)
class Shrinkage:
    """What widths (and Llama's feed-forward sizes) and depths are divided by."""

    width: int
    depth: int


SHRINKAGES: dict[str, Shrinkage] = {
    "tiny": Shrinkage(width=8, depth=4),
    "small": Shrinkage(width=4, depth=2),
    "poster": Shrinkage(width=1, depth=1),
}


def divided(preset: ModelPreset, *, width: int, depth: int = 1, name: str) -> ModelPreset:
    """`preset` with widths divided by `width` and depth by `depth`, called `name`; at least two layers, or as many as
    `preset` has.

    Raises:
        UserError: if `width` does not divide the widths, or leaves no head of an even number of dimensions.
    """
    sizes = [preset.width, *([] if preset.ffn is None else [preset.ffn])]
    if any(size % (2 * width) for size in sizes):
        raise UserError(
            f"model preset {preset.name!r}: sizes {', '.join(map(str, sizes))} cannot be divided by {width} into even "
            "numbers; use a power of 2 that is small enough"
        )
    narrow = preset.width // width
    # as many heads as before if their dimensions stay whole and even, as rotary positions need them; else fewer
    heads = next(count for count in range(preset.heads, 0, -1) if narrow % (2 * count) == 0)
    return replace(
        preset,
        name=name,
        width=narrow,
        heads=heads,
        ffn=None if preset.ffn is None else preset.ffn // width,
        layers=max(min(FEWEST_LAYERS, preset.layers), preset.layers // depth),
    )


def shrunk(name: str, presets: Mapping[str, ModelPreset]) -> ModelPreset:
    """The preset of a name such as `GPT2-705M@tiny`, whose first part is a key of `presets`.

    Raises:
        UserError: with the nearest known name, if either part is unknown.
    """
    base, _, scale = name.partition(SEPARATOR)
    if base not in presets:
        raise UserError(f"model preset {name!r}: {base!r} is no model of the poster{nearest(base, presets)}")
    if scale not in SHRINKAGES:
        raise UserError(f"model preset {name!r}: there is no scale {scale!r}{nearest(scale, SHRINKAGES)}")
    by = SHRINKAGES[scale]
    if by == Shrinkage(1, 1):
        return presets[base]
    return divided(presets[base], width=by.width, depth=by.depth, name=name)
