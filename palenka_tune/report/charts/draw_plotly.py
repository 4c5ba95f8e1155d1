"""A chart as a plotly figure, in plain data for JSON.

Colours that depend on the reader's light or dark setting are written as names of CSS variables (`--blue`); the page's
script puts in what they are when it draws. plotly reads a little HTML in texts, so all texts are escaped for it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from palenka_tune.report.charts import colours
from palenka_tune.report.charts.figure import Axis, Bars, Chart, HeatMap, Plot, Rule, Series

FIGURES = 6  # significant digits of numbers, more than a screen can show
SHAPES = {
    "circle": "circle",
    "cross": "x-thin-open",
    "diamond": "diamond",
    "square": "square",
    "up": "triangle-up-open",
}
LAYOUT = {
    "margin": {"l": 8, "r": 12, "t": 30, "b": 8},  # plotly's buttons are at the top, and would cover points
    "autosize": True,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": "--ink", "size": 12, "family": "system-ui, sans-serif"},
    "hoverlabel": {"bgcolor": "--band", "bordercolor": "--line", "font": {"color": "--ink"}, "align": "left"},
    "hovermode": "closest",
    "dragmode": False,  # a finger that scrolls the page does not zoom a plot
}
AXIS = {"automargin": True, "gridcolor": "--line", "linecolor": "--soft", "zeroline": False, "fixedrange": False}
LEGEND: dict[str, Any] = {"orientation": "h", "traceorder": "normal", "font": {"size": 11}}
LEGEND |= {"yref": "container", "y": 0, "yanchor": "bottom", "x": 0}  # below the plot, where it takes no width
LABEL = {"showarrow": False, "bgcolor": "--paper", "borderpad": 1, "font": {"color": "--ink", "size": 10}}
HEAT_MAP = {"showscale": False, "xgap": 1, "ygap": 1, "hoverongaps": False, "hoverinfo": "skip"}

Drawing = tuple[list[dict[str, Any]], dict[str, Any]]  # plotly's data and layout


def figure(chart: Chart) -> dict[str, Any]:
    """`data` and `layout` of plotly."""
    draw: dict[type, Callable[[Any], Drawing]] = {Plot: _plot, Bars: _bars, HeatMap: _heat_map}
    data, layout = draw[type(chart.body)](chart.body)
    return {"data": data, "layout": {**LAYOUT, "height": chart.height, **layout}}


def _plot(plot: Plot) -> Drawing:
    ends = plot.shade_range()
    data = [_trace(series, ends) for series in plot.series]
    shaded = [trace["marker"] for trace, series in zip(data, plot.series, strict=True) if series.shades]
    if shaded:
        bar = {"title": {"text": _text(plot.shaded), "side": "right"}, "thickness": 12, "outlinewidth": 0, "len": 1}
        shaded[0] |= {"showscale": True, "colorbar": bar}
    return data, {
        "xaxis": _axis(plot.x),
        "yaxis": _axis(plot.y),
        "shapes": [_rule(rule) for rule in plot.rules],
        "annotations": [{"x": x, "y": y, "text": _text(text), **LABEL} for x, y, text in plot.labels],
        **_legend([*plot.series, *plot.rules]),
    }


def _trace(series: Series, ends: tuple[float, float]) -> dict[str, Any]:
    points, colour = series.points, f"--{series.colour}"
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "+".join(name for name, size in (("lines", series.line), ("markers", series.marker)) if size),
        "x": _numbers(point.x for point in points),
        "y": _numbers(point.y for point in points),
        "opacity": 0.5 if series.faded else 1.0,
        "connectgaps": False,
        **_named(series.name),
    }
    if series.line:
        trace["line"] = _stroke(series.colour, series.line, dashed=series.dashed)
    if series.marker:
        marker: dict[str, Any] = {"size": series.marker, "color": colour, "symbol": SHAPES[series.shape]}
        if series.shape in ("cross", "up"):  # these are all outline
            marker["line"] = {"color": colour, "width": 1.5}
        if series.shades:
            low, high = _numbers(ends)
            marker |= {"color": _numbers(series.shades), "colorscale": _colour_scale("low_is_good")}
            marker |= {"cmin": low, "cmax": high, "line": {"color": "--ink", "width": 1}}
        trace["marker"] = marker
    if series.arms:
        below, above = (_numbers(lengths) for lengths in zip(*series.arms, strict=True))
        bar = {"type": "data", "symmetric": False, "color": colour, "thickness": 2, "width": 5}
        trace["error_x"] = {**bar, "array": above, "arrayminus": below}
    return trace | _hover(series)


def _rule(rule: Rule) -> dict[str, Any]:
    along, across = ("x", "y") if rule.upright else ("y", "x")
    return {
        "type": "line",
        "layer": "below",
        "line": _stroke(rule.colour, 2 if rule.dashed else 1.5, dashed=rule.dashed),
        **{f"{along}ref": along, f"{along}0": rule.at, f"{along}1": rule.at},
        **{f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1},
        **(_named(rule.name) if rule.name else {}),
    }


def _bars(bars: Bars) -> Drawing:
    names = _texts(bars.names)
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": _numbers(point.x for point in group.points),
            "marker": {"color": f"--{group.colour}"},
            "textposition": "none",
            "hovertemplate": "%{y}: %{x}<extra></extra>",
            **_hover(group),
            **_named(group.name),
        }
        for group in bars.groups
    ]
    return data, {
        "xaxis": _axis(bars.x),
        "yaxis": {**_axis(Axis()), "type": "category", "autorange": "reversed", "showgrid": False},
        "barmode": "stack" if bars.stacked else "group",
        "bargap": 0.35,
        **_legend(bars.groups),
    }


def _heat_map(heat: HeatMap) -> Drawing:
    """The cells, and their texts as points of a trace for each colour of text."""
    rows, columns = len(heat.rows), len(heat.columns)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": [_numbers(cell.value for cell in row) for row in heat.cells],
        "x": list(range(columns)),
        "y": list(range(rows)),
        "colorscale": _colour_scale(heat.scale),
        "zmin": heat.low,
        "zmax": heat.high,
        **HEAT_MAP,
    }
    if any(cell.hover for row in heat.cells for cell in row):
        trace["text"] = [_texts(cell.hover for cell in row) for row in heat.cells]
        trace |= {"hovertemplate": "%{text}<extra></extra>", "hoverinfo": "text"}
    texts: dict[str, list[tuple[int, int, str]]] = {"#000000": [], "#ffffff": [], "--ink": []}
    for y, row in enumerate(heat.cells):
        for x, cell in enumerate(row):
            if cell.text:
                shade = colours.shade(heat.scale, cell.value, heat.low, heat.high)
                colour = colours.text_on(shade) if math.isfinite(cell.value) else "--ink"
                texts[colour].append((x, y, _text(cell.text)))
    data = [trace]
    for colour, cells in texts.items():
        if cells:
            x_places, y_places, words = (list(each) for each in zip(*cells, strict=True))
            look = {"textfont": {"color": colour, "size": 10}, "hoverinfo": "skip", "showlegend": False}
            data.append({"type": "scatter", "mode": "text", "x": x_places, "y": y_places, "text": words, **look})
    across, up = (
        Axis(title, ticks=tuple(enumerate(map(_wrapped, names))))
        for title, names in ((heat.x, heat.columns), (heat.y, heat.rows))
    )
    flat = {"showgrid": False, "zeroline": False, "ticks": ""}
    return data, {
        "xaxis": {**_axis(across), **flat, "range": [-0.5, columns - 0.5], "side": "bottom" if heat.x else "top"},
        "yaxis": {**_axis(up), **flat, "range": [rows - 0.5, -0.5]},
        "shapes": [
            _frame(row, column, colour, width)
            for row, column in heat.framed
            for colour, width in (("#ffffff", 6), (colours.PALETTE["red"][0], 3))
        ],
    }


def _frame(row: int, column: int, colour: str, width: int) -> dict[str, Any]:
    corners = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    return {"type": "rect", **corners, "line": {"color": colour, "width": width}, "fillcolor": "rgba(0,0,0,0)"}


def _wrapped(name: str) -> str:
    """A long name on several lines, broken at spaces and behind underscores, so that cells have room on a phone."""
    return re.sub(r"(.{1,22})(?:(?<=_)|\s|$)", r"\1\n", name).rstrip("\n")


def _axis(axis: Axis) -> dict[str, Any]:
    layout: dict[str, Any] = {
        **AXIS,
        "title": {"text": _text(axis.title), "standoff": 8, "font": {"size": 12}},
        "tickfont": {"size": 11},
    }
    if axis.log:
        layout["type"] = "log"
    if axis.ticks is not None:
        places, texts = [place for place, _ in axis.ticks], _texts(text for _, text in axis.ticks)
        layout |= {"tickmode": "array", "tickvals": places, "ticktext": texts, "tickfont": {"size": 10}}
    if axis.ends is not None:
        layout["range"] = [math.log10(end) if axis.log else end for end in axis.ends]
    return layout


def _stroke(colour: str, width: float, *, dashed: bool) -> dict[str, Any]:
    return {"color": f"--{colour}", "width": width, "dash": "dash" if dashed else "solid"}


def _named(name: str) -> dict[str, Any]:
    """A trace or a rule: what has a name is in the legend."""
    return {"showlegend": bool(name), "name": _text(name)}


def _hover(series: Series) -> dict[str, Any]:
    texts = [point.hover for point in series.points]
    return {"text": _texts(texts), "hovertemplate": "%{text}<extra></extra>"} if any(texts) else {}


def _legend(entries: Sequence[Series | Rule]) -> dict[str, Any]:
    return {"showlegend": True, "legend": LEGEND} if any(each.name for each in entries) else {"showlegend": False}


def _colour_scale(name: str) -> list[list[Any]]:
    stops = colours.scale(name)
    return [[number / (len(stops) - 1), colour] for number, colour in enumerate(stops)]


def _text(text: str) -> str:
    return html.escape(text, quote=False).replace("\n", "<br>")


def _texts(texts: Iterable[str]) -> list[str]:
    return [_text(text) for text in texts]


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers that JSON can hold, without digits that nobody sees."""
    return [float(f"{value:.{FIGURES}g}") if math.isfinite(value) else None for value in values]
