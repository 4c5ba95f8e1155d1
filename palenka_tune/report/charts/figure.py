"""What a chart shows, as plain data that either library draws: axes, series, bars and heat maps.

`draw_plotly` turns a `Chart` into a plotly figure for a page, `draw_matplotlib` into PNG and SVG. Each chart is
described once. Missing values are NaN; they break lines and leave cells empty. Colours are names of `colours.PALETTE`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

NAN = float("nan")
# titles of axes
CE = "dev cross-entropy (nats per token)"
ALPHA, BETA = "α, weight of the teachers' logits", "β, weight of the hidden states"


@dataclass(frozen=True)
class Axis:
    """`ticks` are (place, text) in place of numbers; `ends` fix where it begins and ends."""

    title: str = ""
    log: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None
    ends: tuple[float, float] | None = None


class Point(NamedTuple):
    """A point of a series. `hover` is what a page shows at it, `low` and `high` are the ends of a horizontal interval,
    `shade` is a value that colours it on the plot's scale."""

    x: float
    y: float
    hover: str = ""
    low: float | None = None
    high: float | None = None
    shade: float | None = None


GAP = Point(NAN, NAN)


@dataclass(frozen=True)
class Series:
    """Points (`marker` is their size), joined by a line (`line` is its width), or both.

    Intervals and shades are for all points of a series or for none. A series with a `name` is in the legend.
    """

    points: Sequence[Point]
    name: str = ""
    colour: str = "blue"
    line: float = 0.0
    marker: float = 0.0
    shape: str = "circle"
    dashed: bool = False
    faded: bool = False

    @property
    def shades(self) -> list[float]:
        """The shade of each point; empty if it has none."""
        return [point.shade for point in self.points if point.shade is not None]

    @property
    def arms(self) -> list[tuple[float, float]]:
        """How far the interval of each point reaches to its left and to its right; empty if it has none."""
        return [(at.x - at.low, at.high - at.x) for at in self.points if at.low is not None and at.high is not None]


@dataclass(frozen=True)
class Rule:
    """A line across the plot, level at y = `at` or, if `upright`, at x = `at`."""

    at: float
    name: str = ""
    colour: str = "grey"
    upright: bool = False
    dashed: bool = True


class Label(NamedTuple):
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

    def shade_range(self) -> tuple[float, float]:
        """The ends of the colour scale: the lowest and the highest shade, (0, 1) without any."""
        shades = [shade for series in self.series for shade in series.shades if math.isfinite(shade)]
        return (min(shades), max(shades)) if shades else (0.0, 1.0)


@dataclass(frozen=True)
class Bars:
    """Level bars, the first name at the top; groups stand beside each other, or end to end if `stacked`.

    A group has a point for each name: `x` is how long its bar is, `y` the number of the name.
    """

    names: Sequence[str]
    groups: Sequence[Series]
    x: Axis = Axis()
    stacked: bool = False


class Cell(NamedTuple):
    """A cell of a heat map: the value that colours it, the text in it, and what a page shows at it."""

    value: float
    text: str
    hover: str = ""


@dataclass(frozen=True)
class HeatMap:
    """A cell for each row and column, the first row at the top.

    `scale` is a name of `colours.SCALES`, from `low` to `high`; `x` and `y` are the axes' titles. `framed` cells (row,
    column) stand out.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Cell]]
    scale: str
    low: float = 0.0
    high: float = 1.0
    x: str = ""
    y: str = ""
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


def rows_axis(names: Sequence[str]) -> Axis:
    """An upright axis with a row for each name, the first at the top."""
    return Axis(ticks=tuple(enumerate(names)), ends=(len(names) - 0.5, -0.5))
