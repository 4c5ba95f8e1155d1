"""A figure as `plots/NAME.svg` and `plots/NAME.png`, drawn by matplotlib on white paper, the same bytes each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from palenka_tune.config.files import atomic_path
from palenka_tune.report.charts import colours
from palenka_tune.report.charts.figure import Axis, Bars, Chart, Figure, HeatMap, Plot, Series, shade_range

SHAPES = {"circle": "o", "cross": "x", "diamond": "D", "square": "s"}
WIDTH, PIXELS_PER_INCH = 5.2, 90.0
SETTINGS: Any = {
    "svg.hashsalt": "palenka",
    "svg.fonttype": "none",  # words stay words: they can be found, copied and read out
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}


def write_pictures(folder: Path, figure: Figure, title: str) -> list[Path]:
    """Write the figure to `folder`; returns the paths, SVG first."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    columns = min(figure.columns, len(figure.charts))
    rows = -(-len(figure.charts) // columns)
    heights = [
        max(chart.height for chart in figure.charts[row * columns : (row + 1) * columns]) / PIXELS_PER_INCH
        for row in range(rows)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(SETTINGS):
        width = max(WIDTH, *(chart.min_width / PIXELS_PER_INCH for chart in figure.charts))
        canvas = Canvas(figsize=(width * columns, sum(heights) + 0.4), layout="constrained", facecolor="white")
        FigureCanvasAgg(canvas)
        axes = canvas.subplots(rows, columns, squeeze=False, height_ratios=heights)
        for place, each in enumerate(axes.flat):
            if place < len(figure.charts):
                _draw(canvas, each, figure.charts[place])
            else:
                each.set_visible(False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=11)
        for suffix, metadata in (("svg", {"Date": None}), ("png", None)):
            path = folder / f"{figure.name}.{suffix}"
            with atomic_path(path) as temporary:
                canvas.savefig(temporary, format=suffix, dpi=120, metadata=metadata)
            canvas.set_layout_engine("none")  # all has its place now, and finding it takes most of the time
            paths.append(path)
    return paths


def _draw(canvas: Any, axes: Any, chart: Chart) -> None:
    body = chart.body
    if isinstance(body, HeatMap):
        _heat_map(axes, body)
    elif isinstance(body, Bars):
        _bars(axes, body)
    else:
        _plot(canvas, axes, body)
    axes.set_title(chart.title, loc="left", fontsize=10)


def _plot(canvas: Any, axes: Any, plot: Plot) -> None:
    low, high = shade_range(plot)
    shaded = None
    for series in plot.series:
        drawn = _series(axes, series, low, high)
        shaded = drawn or shaded
    for rule in plot.rules:
        draw = axes.axvline if rule.upright else axes.axhline
        style = "--" if rule.dashed else "-"
        draw(
            rule.at,
            color=_colour(rule.colour),
            lw=1.6 if rule.dashed else 0.8,
            ls=style,
            label=rule.name or None,
            zorder=1.5,
        )
    for label in plot.labels:
        patch = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
        axes.text(
            label.x, label.y, label.text, ha="center", va="center", fontsize=6.5, bbox=patch, zorder=5, in_layout=False
        )
    _axis(axes, "x", plot.x)
    _axis(axes, "y", plot.y)
    if shaded is not None:
        canvas.colorbar(shaded, ax=axes, label=plot.shaded).outline.set_visible(False)
    _legend(axes)


def _series(axes: Any, series: Series, low: float, high: float) -> Any:
    """Draw a series; returns what a colour bar is made from, if it has shades."""
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    colour = _colour(series.colour)
    style: dict[str, Any] = {"alpha": 0.5 if series.faded else 1.0, "label": series.name or None}
    size = series.marker * 0.6
    if series.low:
        sides = [x - np.asarray(series.low, dtype=float), np.asarray(series.high, dtype=float) - x]
        axes.errorbar(x, y, xerr=np.nan_to_num(sides), fmt="none", ecolor=colour, elinewidth=1.6, capsize=3)
    if series.shades:
        mapped = _map("low_is_good")
        area = (size * 1.2) ** 2
        marks = {"marker": SHAPES[series.shape], "edgecolors": "black", "linewidths": 0.6}
        if series.shape == "cross":
            marks = {"marker": "x"}
        return axes.scatter(x, y, c=series.shades, cmap=mapped, vmin=low, vmax=high, s=area, **marks, **style)
    axes.plot(
        x,
        y,
        color=colour,
        lw=series.line * 0.8,
        ls="none" if not series.line else "--" if series.dashed else "-",
        marker=SHAPES[series.shape] if series.marker else None,
        ms=size,
        **style,
    )
    return None


def _bars(axes: Any, bars: Bars) -> None:
    places = np.arange(len(bars.names), dtype=float)
    thick = 0.65 if bars.stacked else 0.65 / len(bars.groups)
    ends = np.zeros(len(bars.names))
    for number, group in enumerate(bars.groups):
        values = np.nan_to_num(np.asarray(group.values, dtype=float))
        shift = 0.0 if bars.stacked else (number - (len(bars.groups) - 1) / 2) * thick
        left = ends if bars.stacked else 0.0
        label = group.name or None
        axes.barh(places + shift, values, height=thick, left=left, color=_colour(group.colour), label=label)
        ends = ends + values
    axes.set_yticks(places, bars.names)
    axes.invert_yaxis()
    _axis(axes, "x", bars.x)
    _legend(axes)


def _heat_map(axes: Any, heat: HeatMap) -> None:
    from matplotlib.patches import Rectangle

    matrix = np.ma.masked_invalid(np.asarray(heat.values, dtype=float))
    mapped = _map(heat.scale).with_extremes(bad=colours.NO_VALUE)
    axes.imshow(matrix, cmap=mapped, vmin=heat.low, vmax=heat.high, aspect="auto")
    size = 8 if len(heat.columns) <= 6 else 6.5
    for row, texts in enumerate(heat.texts):
        for column, text in enumerate(texts):
            colour = colours.text_on(colours.shade(heat.scale, heat.values[row][column], heat.low, heat.high))
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour, in_layout=False)
    for row, column in heat.framed:
        for colour, width in (("white", 6), (_colour("red"), 3)):
            corner = column - 0.5, row - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, lw=width, clip_on=False, zorder=3))
    tilted = {} if heat.x else {"rotation": 30, "ha": "left"}
    axes.set_xticks(range(len(heat.columns)), heat.columns, **tilted)
    axes.set_yticks(range(len(heat.rows)), heat.rows)
    if not heat.x:
        axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7.5)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(heat.x)
    axes.set_ylabel(heat.y)


def _axis(axes: Any, side: str, axis: Axis) -> None:
    ends: Callable[..., Any] = getattr(axes, f"set_{side}lim")
    if axis.log:
        getattr(axes, f"set_{side}scale")("log")
        scale = getattr(axes, f"{side}axis")
        scale.set_major_formatter(lambda value, _: f"{value:g}")
    getattr(axes, f"set_{side}label")(axis.title)
    if axis.low is not None and axis.high is not None and all(map(math.isfinite, (axis.low, axis.high))):
        ends(axis.low, axis.high)
    if axis.ticks is not None:
        texts = [text for _, text in axis.ticks]
        crowded = side == "x" and sum(map(len, texts)) > 40
        tilted = {"rotation": 30, "ha": "right"} if crowded else {}
        getattr(axes, f"set_{side}ticks")([place for place, _ in axis.ticks], texts, fontsize=7.5, **tilted)


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        place = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.16)}
        axes.legend(handles, labels, frameon=False, fontsize=7.5, ncols=2, **place)


def _map(name: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, list(colours.scale(name)))


def _colour(name: str) -> str:
    return colours.PALETTE[name][0]
