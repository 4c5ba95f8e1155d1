"""A chart as a plotly figure, in plain data for JSON.

Colours that depend on the reader's light or dark setting are written as names of CSS variables (`--blue`); the page's
script puts in what they are when it draws. plotly reads a little HTML in texts, so all texts are escaped for it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from palenka_tune.report.charts import colours
from palenka_tune.report.charts.figure import Axis, Bars, Chart, HeatMap, Plot, Series, shade_range

FIGURES = 6  # significant digits of numbers, more than a screen can show
SHAPES = {"circle": "circle", "cross": "x-thin-open", "diamond": "diamond", "square": "square"}
MARGIN = {"l": 8, "r": 12, "t": 12, "b": 8}


def figure(chart: Chart) -> dict[str, Any]:
    """`data` and `layout` of plotly."""
    body = chart.body
    if isinstance(body, HeatMap):
        data, layout = _heat_map(body)
    elif isinstance(body, Bars):
        data, layout = _bars(body)
    else:
        data, layout = _plot(body)
    common = {
        "height": chart.height,
        "margin": MARGIN,
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--ink", "size": 12, "family": "system-ui, sans-serif"},
        "hoverlabel": {"bgcolor": "--band", "bordercolor": "--line", "font": {"color": "--ink"}, "align": "left"},
        "hovermode": "closest",
        "dragmode": False,  # a finger that scrolls the page does not zoom a plot
    }
    return {"data": data, "layout": {**common, **layout}}


def _plot(plot: Plot) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    low, high = shade_range(plot)
    data = [_trace(series, plot, low, high) for series in plot.series]
    shaded = [trace for trace, series in zip(data, plot.series, strict=True) if series.shades]
    if shaded:
        shaded[0]["marker"] |= {"showscale": True, "colorbar": _colour_bar(plot.shaded)}
    shapes: list[dict[str, Any]] = []
    for rule in plot.rules:
        ends = {"xref": "x", "x0": rule.at, "x1": rule.at, "yref": "paper", "y0": 0, "y1": 1}
        if not rule.upright:
            ends = {"yref": "y", "y0": rule.at, "y1": rule.at, "xref": "paper", "x0": 0, "x1": 1}
        line = {
            "color": f"--{rule.colour}",
            "width": 2 if rule.dashed else 1,
            "dash": "dash" if rule.dashed else "solid",
        }
        legend = {"showlegend": True, "name": _text(rule.name)} if rule.name else {}
        shapes.append({"type": "line", "layer": "below", "line": line, **ends, **legend})
    annotations = [
        {
            "x": label.x,
            "y": label.y,
            "text": _text(label.text),
            "showarrow": False,
            "bgcolor": "--paper",
            "borderpad": 1,
            "font": {"color": "--ink", "size": 10},
        }
        for label in plot.labels
    ]
    return data, {
        "xaxis": _axis(plot.x),
        "yaxis": _axis(plot.y),
        "shapes": shapes,
        "annotations": annotations,
        **_legend(any(series.name for series in plot.series) or any(rule.name for rule in plot.rules)),
    }


def _trace(series: Series, plot: Plot, low: float, high: float) -> dict[str, Any]:
    mode = "+".join(name for name, there in (("lines", series.line), ("markers", series.marker)) if there)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode,
        "x": _numbers(series.x),
        "y": _numbers(series.y),
        "opacity": 0.5 if series.faded else 1.0,
        "showlegend": bool(series.name),
        "name": _text(series.name),
        "connectgaps": False,
    }
    if series.line:
        trace["line"] = {
            "color": f"--{series.colour}",
            "width": series.line,
            "dash": "dash" if series.dashed else "solid",
        }
    if series.marker:
        trace["marker"] = {"size": series.marker, "color": f"--{series.colour}", "symbol": SHAPES[series.shape]}
        if series.shape == "cross":  # a thin cross is all outline
            trace["marker"]["line"] = {"color": f"--{series.colour}", "width": 1.5}
    if series.shades:
        trace["marker"] |= {
            "color": _numbers(series.shades),
            "colorscale": _colour_scale("low_is_good"),
            "cmin": _number(low),
            "cmax": _number(high),
            "line": {"color": "--ink", "width": 1},
        }
    if series.low:
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": _numbers([end - at for end, at in zip(series.high, series.x, strict=True)]),
            "arrayminus": _numbers([at - end for end, at in zip(series.low, series.x, strict=True)]),
            "color": f"--{series.colour}",
            "thickness": 2,
            "width": 5,
        }
    if series.hover:
        trace |= {"text": [_text(text) for text in series.hover], "hovertemplate": "%{text}<extra></extra>"}
    return trace


def _bars(bars: Bars) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    names = [_text(name) for name in bars.names]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": _text(group.name),
            "y": names,
            "x": _numbers(group.values),
            "marker": {"color": f"--{group.colour}"},
            "showlegend": bool(group.name),
            "text": [_text(text) for text in group.hover] or None,
            "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>" if group.hover else "%{y}: %{x}<extra></extra>",
        }
        for group in bars.groups
    ]
    axis = _axis(Axis())
    return data, {
        "xaxis": _axis(bars.x),
        "yaxis": {**axis, "type": "category", "autorange": "reversed", "showgrid": False},
        "barmode": "stack" if bars.stacked else "group",
        "bargap": 0.35,
        **_legend(any(group.name for group in bars.groups)),
    }


def _heat_map(heat: HeatMap) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The cells, and their texts as points of two traces: black ones and white ones."""
    trace = {
        "type": "heatmap",
        "z": [_numbers(row) for row in heat.values],
        "x": list(range(len(heat.columns))),
        "y": list(range(len(heat.rows))),
        "colorscale": _colour_scale(heat.scale),
        "zmin": heat.low,
        "zmax": heat.high,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hoverinfo": "skip",
    }
    if heat.hover:
        trace |= {
            "text": [[_text(text) for text in row] for row in heat.hover],
            "hovertemplate": "%{text}<extra></extra>",
            "hoverinfo": "text",
        }
    data: list[dict[str, Any]] = [trace]
    cells = [
        (column, row, text, colours.text_on(colours.shade(heat.scale, value, heat.low, heat.high)))
        for row, (values, texts) in enumerate(zip(heat.values, heat.texts, strict=True))
        for column, (value, text) in enumerate(zip(values, texts, strict=True))
        if text
    ]
    empty = [cell for cell in cells if not math.isfinite(heat.values[cell[1]][cell[0]])]
    for colour in ("#000000", "#ffffff", "--ink"):
        chosen = empty if colour == "--ink" else [cell for cell in cells if cell[3] == colour and cell not in empty]
        if chosen:
            data.append(
                {
                    "type": "scatter",
                    "mode": "text",
                    "x": [cell[0] for cell in chosen],
                    "y": [cell[1] for cell in chosen],
                    "text": [_text(cell[2]) for cell in chosen],
                    "textfont": {"color": colour, "size": 10},
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
    shapes = [
        {
            "type": "rect",
            "x0": column - 0.5,
            "x1": column + 0.5,
            "y0": row - 0.5,
            "y1": row + 0.5,
            "line": {"color": colour, "width": width},
            "fillcolor": "rgba(0,0,0,0)",
        }
        for row, column in heat.framed
        for colour, width in (("#ffffff", 6), (colours.PALETTE["red"][0], 3))
    ]
    places = [Axis(title, ticks=tuple(enumerate(map(_wrapped, names)))) for title, names in _sides(heat)]
    flat = {"showgrid": False, "zeroline": False, "ticks": ""}
    ends = [[-0.5, len(heat.columns) - 0.5], [len(heat.rows) - 0.5, -0.5]]
    return data, {
        "xaxis": {**_axis(places[0]), **flat, "range": ends[0], "side": "bottom" if heat.x else "top"},
        "yaxis": {**_axis(places[1]), **flat, "range": ends[1]},
        "shapes": shapes,
    }


def _sides(heat: HeatMap) -> list[tuple[str, Sequence[str]]]:
    return [(heat.x, heat.columns), (heat.y, heat.rows)]


def _wrapped(name: str, most: int = 22) -> str:
    """A long name on several lines, broken at spaces and underscores, so that cells have room on a phone."""
    lines, line = [], ""
    for part in name.replace("_", "_ ").split(" "):
        glue = "" if line.endswith("_") or not line else " "
        if line and len(line) + len(glue) + len(part) > most:
            lines.append(line)
            line = part
        else:
            line += glue + part
    return "\n".join([*lines, line])


def _axis(axis: Axis) -> dict[str, Any]:
    found: dict[str, Any] = {
        "automargin": True,
        "gridcolor": "--line",
        "linecolor": "--soft",
        "zeroline": False,
        "title": {"text": _text(axis.title), "standoff": 8, "font": {"size": 12}},
        "tickfont": {"size": 11},
        "fixedrange": False,
    }
    if axis.log:
        found |= {"type": "log", "dtick": 1 if _decades(axis) > 1 else None}
    if axis.ticks is not None:
        found |= {
            "tickmode": "array",
            "tickvals": [place for place, _ in axis.ticks],
            "ticktext": [_text(text) for _, text in axis.ticks],
            "tickfont": {"size": 10},
        }
    if axis.low is not None and axis.high is not None:
        found["range"] = [math.log10(end) if axis.log else end for end in (axis.low, axis.high)]
    return found


def _decades(axis: Axis) -> float:
    return math.log10(axis.high / axis.low) if axis.low and axis.high else 0.0


def _legend(shown: bool) -> dict[str, Any]:
    """Below the plot, where it takes no width."""
    place = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "font": {"size": 11}}
    place["traceorder"] = "normal"
    return {"showlegend": True, "legend": place} if shown else {"showlegend": False}


def _colour_bar(title: str) -> dict[str, Any]:
    return {"title": {"text": _text(title), "side": "right"}, "thickness": 12, "outlinewidth": 0, "len": 1}


def _colour_scale(name: str) -> list[list[Any]]:
    stops = colours.scale(name)
    return [[number / (len(stops) - 1), colour] for number, colour in enumerate(stops)]


def _text(text: str) -> str:
    return html.escape(text, quote=False).replace("\n", "<br>")


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    """A number that JSON can hold, without digits that nobody sees."""
    return float(f"{value:.{FIGURES}g}") if math.isfinite(value) else None
