"""The colours of pages and pictures, for all eyes and for light and dark paper.

A chart names its colours (`blue`, `grey`); a page has two shades of each, one for light and one for dark paper, that
stand out by at least 4.5 : 1, and a picture, whose paper is white, the light ones. What a heat map's cell means is the
same on both papers, so its scales are fixed, and text on a cell is black or white, whichever is easier to read.
"""

from __future__ import annotations

import math
from functools import cache

# name: (on light paper, on dark paper)
PALETTE = {
    "blue": ("#1f6fb4", "#5aa9e6"),
    "red": ("#c2410c", "#f0833a"),
    "green": ("#00795a", "#35b890"),
    "purple": ("#a3478b", "#d98cc0"),
    "gold": ("#8a6a00", "#e0b33c"),
    "grey": ("#6b7682", "#8b97a4"),
}
# of what belongs to an arm of a search, in the order of the arms; shapes tell them apart without colours
ARM_COLOURS = {"plain": "red", "logits": "gold", "hidden": "blue"}
ARM_SHAPES = {"plain": "diamond", "logits": "square", "hidden": "circle"}
PAGE = {
    "paper": ("#ffffff", "#12161b"),
    "ink": ("#1b1f24", "#e6e9ed"),
    "soft": ("#57606a", "#9aa5b1"),
    "line": ("#d0d7de", "#353c45"),
    "band": ("#f6f8fa", "#1a2027"),
}
# matplotlib's, from low to high; the last one has its middle at chance
SCALES = {"low_is_good": "cividis_r", "share": "cividis", "around_chance": "PuOr"}
NO_VALUE = "#d9d9d9"
STOPS = 17


@cache
def scale(name: str) -> tuple[str, ...]:
    """Colours of a scale at even steps from its low end to its high one, as `#rrggbb`."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    colours = mpl.colormaps[SCALES[name]]
    return tuple(to_hex(colours(number / (STOPS - 1))) for number in range(STOPS))


def shade(name: str, value: float, low: float, high: float) -> str:
    """The colour of `value` on a scale from `low` to `high`."""
    if not math.isfinite(value):
        return NO_VALUE
    position = 0.0 if high <= low else min(1.0, max(0.0, (value - low) / (high - low))) * (STOPS - 1)
    below = min(int(position), STOPS - 2)
    first, second = (_rgb(stop) for stop in scale(name)[below : below + 2])
    mixed = [a + (b - a) * (position - below) for a, b in zip(first, second, strict=True)]
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def text_on(colour: str) -> str:
    """Black or white, whichever stands out more from `colour`; at least 4.5 : 1 either way."""
    return max("#000000", "#ffffff", key=lambda text: contrast(colour, text))


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours by WCAG 2, from 1 to 21."""
    brighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [part / 255 for part in _rgb(colour)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _rgb(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
