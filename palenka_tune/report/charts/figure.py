"""What a chart shows, whoever draws it: axes, series, bars and heat maps as plain data.

`interactive` turns a `Chart` into a plotly figure for a page, `picture` into PNG and SVG. Each chart is described once.
Missing values are NaN; they break lines and leave cells empty. Colours are names of `colours.PALETTE`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NAN = float("nan")


@dataclass(frozen=True)
class Axis:
    """`ticks` are (place, text) in place of numbers; `low` and `high` fix the ends."""

    title: str = ""
    log: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points (`marker` is their size), joined by a line (`line` is its width), or both.

    `hover` is what a page shows at each point, `low` and `high` the ends of a horizontal interval at each, `shades` a
    value for each that colours it on the plot's scale. A series with a `name` is in the legend.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    colour: str = "blue"
    line: float = 0.0
    marker: float = 0.0
    shape: str = "circle"
    dashed: bool = False
    faded: bool = False
    hover: Sequence[str] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    shades: Sequence[float] = ()


@dataclass(frozen=True)
class Rule:
    """A line across the plot, level at y = `at` or, if `upright`, at x = `at`."""

    at: float
    name: str = ""
    colour: str = "grey"
    upright: bool = False
    dashed: bool = True


@dataclass(frozen=True)
class Label:
    """Words at a point, on a patch of paper."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Series over two axes; `shaded` is the title of the colour bar if series have `shades` (low ones are good)."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    rules: Sequence[Rule] = ()
    labels: Sequence[Label] = ()
    shaded: str = ""


@dataclass(frozen=True)
class BarGroup:
    """A bar's length for each name of `Bars`, with what a page shows at it."""

    name: str
    values: Sequence[float]
    colour: str = "blue"
    hover: Sequence[str] = ()


@dataclass(frozen=True)
class Bars:
    """Level bars, the first name at the top; groups stand beside each other, or end to end if `stacked`."""

    names: Sequence[str]
    groups: Sequence[BarGroup]
    x: Axis = Axis()
    stacked: bool = False


@dataclass(frozen=True)
class HeatMap:
    """A value for each row and column, the first row at the top, with the `texts` in the cells.

    `scale` is a name of `colours.SCALES`, from `low` to `high`. `framed` cells (row, column) stand out.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    texts: Sequence[Sequence[str]]
    scale: str
    low: float
    high: float
    x: str = ""
    y: str = ""
    hover: Sequence[Sequence[str]] = ()
    framed: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Chart:
    """A body and its heading; on a page `height` is in pixels, and a screen narrower than `min_width` scrolls it."""

    title: str
    body: Plot | Bars | HeatMap
    height: int = 380
    min_width: int = 0


@dataclass(frozen=True)
class Figure:
    """Charts that stand beside each other where there is room: `plots/NAME.png`, and a caption that says how to read
    them."""

    name: str
    charts: Sequence[Chart]
    caption: str
    columns: int = 2


def shade_range(plot: Plot) -> tuple[float, float]:
    """The ends of a plot's colour scale: the lowest and the highest shade, (0, 1) without any."""
    known = [value for series in plot.series for value in series.shades if math.isfinite(value)]
    return (min(known), max(known)) if known else (0.0, 1.0)


def finite(value: float | None) -> float:
    """The value, NaN if there is none."""
    return NAN if value is None else float(value)
