"""A figure as `plots/NAME.svg` and `plots/NAME.png`, drawn by matplotlib on white paper, the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from palenka_tune.config.files import atomic_path
from palenka_tune.report.charts import colours
from palenka_tune.report.charts.figure import Axis, Bars, Figure, HeatMap, Plot, Series

SHAPES = {"circle": "o", "cross": "x", "diamond": "D", "square": "s", "up": "^"}
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
    from matplotlib.figure import Figure as Canvas

    draw: dict[type, Callable[[Any, Any], None]] = {Plot: _plot, Bars: _bars, HeatMap: _heat_map}
    charts = figure.charts
    columns = min(figure.columns, len(charts))
    heights = [
        max(chart.height for chart in charts[first : first + columns]) / PIXELS_PER_INCH
        for first in range(0, len(charts), columns)
    ]
    width = max(WIDTH, *(chart.min_width / PIXELS_PER_INCH for chart in charts))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(SETTINGS):
        canvas = Canvas(figsize=(width * columns, sum(heights) + 0.4), layout="constrained", facecolor="white")
        places = canvas.subplots(len(heights), columns, squeeze=False, height_ratios=heights).flat
        for axes, chart in zip(places, charts, strict=False):
            draw[type(chart.body)](axes, chart.body)
            axes.set_title(chart.title, loc="left", fontsize=10)
        for axes in places[len(charts) :]:
            axes.set_visible(False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=11)
        for suffix, metadata in (("svg", {"Date": None}), ("png", None)):
            path = folder / f"{figure.name}.{suffix}"
            with atomic_path(path) as temporary:
                canvas.savefig(temporary, format=suffix, dpi=120, metadata=metadata)
            canvas.set_layout_engine("none")  # all has its place now, and finding it takes most of the time
            paths.append(path)
    return paths


def _plot(axes: Any, plot: Plot) -> None:
    ends = plot.shade_range()
    shaded = [marks for series in plot.series if (marks := _series(axes, series, ends)) is not None]
    for rule in plot.rules:
        draw = axes.axvline if rule.upright else axes.axhline
        style = {"ls": "--", "lw": 1.6} if rule.dashed else {"ls": "-", "lw": 1.0}
        draw(rule.at, color=_colour(rule.colour), label=rule.name or None, zorder=1.5, **style)
    patch = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    for x, y, text in plot.labels:
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, bbox=patch, zorder=5, in_layout=False)
    _axis(axes, "x", plot.x)
    _axis(axes, "y", plot.y)
    if shaded:
        axes.figure.colorbar(shaded[-1], ax=axes, label=plot.shaded).outline.set_visible(False)
    _legend(axes)


def _series(axes: Any, series: Series, ends: tuple[float, float]) -> Any:
    """Draw a series; returns what a colour bar is made from, if it has shades."""
    x, y = [point.x for point in series.points], [point.y for point in series.points]
    colour, size = _colour(series.colour), series.marker * 0.6
    style: dict[str, Any] = {"alpha": 0.5 if series.faded else 1.0, "label": series.name or None}
    if series.arms:
        arms = np.nan_to_num(np.transpose(series.arms))
        axes.errorbar(x, y, xerr=arms, fmt="none", ecolor=colour, elinewidth=1.6, capsize=3)
    if series.shades:
        style |= {"c": series.shades, "cmap": _map("low_is_good"), "vmin": ends[0], "vmax": ends[1]}
        style |= {} if series.shape == "cross" else {"edgecolors": "black", "linewidths": 0.6}
        return axes.scatter(x, y, s=(size * 1.2) ** 2, marker=SHAPES[series.shape], **style)
    style |= {"lw": series.line * 0.8, "ls": "none" if not series.line else "--" if series.dashed else "-"}
    style |= {"marker": SHAPES[series.shape] if series.marker else None, "ms": size}
    style |= {"mfc": "none"} if series.shape == "up" else {}
    axes.plot(x, y, color=colour, **style)
    return None


def _bars(axes: Any, bars: Bars) -> None:
    places = np.arange(len(bars.names), dtype=float)
    thick = 0.65 if bars.stacked else 0.65 / len(bars.groups)
    ends = np.zeros(len(bars.names))
    for number, group in enumerate(bars.groups):
        values = np.nan_to_num([point.x for point in group.points])
        shift = 0.0 if bars.stacked else (number - (len(bars.groups) - 1) / 2) * thick
        style = {"height": thick, "color": _colour(group.colour), "label": group.name or None}
        axes.barh(places + shift, values, left=ends if bars.stacked else 0.0, **style)
        ends = ends + values
    axes.set_yticks(places, bars.names)
    axes.invert_yaxis()
    _axis(axes, "x", bars.x)
    _legend(axes)


def _heat_map(axes: Any, heat: HeatMap) -> None:
    from matplotlib.patches import Rectangle

    matrix = np.ma.masked_invalid([[cell.value for cell in row] for row in heat.cells])
    shades = _map(heat.scale).with_extremes(bad=colours.NO_VALUE)
    axes.imshow(matrix, cmap=shades, vmin=heat.low, vmax=heat.high, aspect="auto")
    look: Any = {"ha": "center", "va": "center", "fontsize": 8 if len(heat.columns) <= 6 else 6.5, "in_layout": False}
    for y, row in enumerate(heat.cells):
        for x, cell in enumerate(row):
            shade = colours.shade(heat.scale, cell.value, heat.low, heat.high)
            axes.text(x, y, cell.text, color=colours.text_on(shade), **look)
    for row_number, column in heat.framed:
        for colour, width in (("white", 6), (_colour("red"), 3)):
            corner = column - 0.5, row_number - 0.5
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, lw=width, clip_on=False, zorder=3))
    tilted = {} if heat.x else {"rotation": 30, "ha": "left"}
    axes.set_xticks(range(len(heat.columns)), heat.columns, **tilted)
    axes.set_yticks(range(len(heat.rows)), heat.rows)
    if not heat.x:
        axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7.5)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=heat.x, ylabel=heat.y)


def _axis(axes: Any, side: str, axis: Axis) -> None:
    if axis.log:
        axes.set(**{f"{side}scale": "log"})
        getattr(axes, f"{side}axis").set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(**{f"{side}label": axis.title})
    if axis.ends is not None:
        axes.set(**{f"{side}lim": axis.ends})
    if axis.ticks is not None:
        texts = [text for _, text in axis.ticks]
        crowded = side == "x" and sum(map(len, texts)) > 40
        tilted = {"rotation": 30, "ha": "right"} if crowded else {}
        getattr(axes, f"set_{side}ticks")([place for place, _ in axis.ticks], texts, fontsize=7.5, **tilted)


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        look: Any = {"frameon": False, "fontsize": 7.5, "ncols": 2}
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(-0.02, -0.16), **look)


def _map(name: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, list(colours.scale(name)))


def _colour(name: str) -> str:
    return colours.PALETTE[name][0]
