"""A page that can be sent as one file: headings, sentences, tables and charts, with nothing to load.

It is one HTML file that fetches nothing: plotly is inside, once, and only if there are charts. Colours follow the
reader's light or dark setting, and what is wider than the screen scrolls in its own box. All text is escaped. Its frame
is `page.html`, its look `page.css`, and `page.js` hands the charts to plotly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from palenka_tune.config.files import write_text
from palenka_tune.errors import PalenkaError
from palenka_tune.report.charts import draw_plotly
from palenka_tune.report.charts.colours import PAGE, PALETTE
from palenka_tune.report.charts.figure import Figure

LONG = 4  # sections from which on a page has links to them
COLOURS = {f"--{name}": pair for name, pair in {**PAGE, **PALETTE}.items()}  # CSS variables, for light and dark paper


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; `caption` says what they are."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Fold:
    """Something long that opens on a click: a table, or text as it stands in a file."""

    summary: str
    body: Table | str


class Section:
    """A part of the page: a heading, and below it paragraphs, tables, figures and folds in their order.

    None stands for what there is not, and leaves no trace.
    """

    def __init__(self, heading: str, *content: str | Table | Figure | Fold | None) -> None:
        self.heading, self.content = heading, [each for each in content if each is not None]

    @property
    def figures(self) -> list[Figure]:
        """The figures of the section."""
        return [each for each in self.content if isinstance(each, Figure)]


def write_page(path: Path, title: str, lead: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write the page and return its path; `lead` are the paragraphs under the title.

    Raises:
        PalenkaError: if a table's row is not as long as its header.
    """
    drawn: dict[str, Any] = {}  # plotly's figures by the ids of their places
    body = [_tag("h1", escape(title)), *(_content(text, drawn) for text in lead)]
    if len(sections) >= LONG:
        links = (_tag("a", escape(each.heading), href=f"#part-{number}") for number, each in enumerate(sections))
        body.append(_tag("nav", _lines(links), aria_label="parts of this page"))
    for number, section in enumerate(sections):
        parts = [_content(each, drawn) for each in section.content]
        body.append(_tag("section", _lines([_tag("h2", escape(section.heading)), *parts]), id=f"part-{number}"))
    body += _scripts(drawn)
    # the browser itself is told to fetch nothing, whatever a script should want
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:"
    light, dark = (" ".join(f"{name}: {pair[side]};" for name, pair in COLOURS.items()) for side in (0, 1))
    page = Template(_file("page.html")).substitute(
        title=escape(title),
        policy=f"{policy}; script-src 'unsafe-inline'" if drawn else policy,
        light=light,
        dark=dark,
        style=_file("page.css"),
        body="\n".join(body),
    )
    write_text(path, f"{page}\n")
    return path


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _tag(name: str, content: str, **attributes: str) -> str:
    """An element around HTML; an attribute that is empty is left out, and `_` in its name is a hyphen."""
    pairs = [f' {key.strip("_").replace("_", "-")}="{escape(text)}"' for key, text in attributes.items() if text]
    return f"<{name}{''.join(pairs)}>{content}</{name}>"


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(["", *parts, ""])


def _content(content: str | Table | Figure | Fold, drawn: dict[str, Any]) -> str:
    """A part of a section in HTML; its charts are added to `drawn`."""
    if isinstance(content, Figure):
        return _figure(content, drawn)
    if isinstance(content, Table):
        return _table(content)
    if isinstance(content, str):
        return _tag("p", escape(content))
    pre = _tag("pre", escape(content.body), tabindex="0") if isinstance(content.body, str) else _table(content.body)
    return _tag("details", _tag("summary", escape(content.summary)) + pre)


def _table(table: Table) -> str:
    header, rows = table.header, table.rows
    for row in rows:
        if len(row) != len(header):
            raise PalenkaError(f"a table of {len(header)} columns has a row of {len(row)}: {', '.join(row)}")
    kinds = ["number" if _numeric([row[place] for row in rows]) else "" for place in range(len(header))]

    def line(tag: str, cells: Sequence[str], scope: str = "") -> str:
        pairs = zip(kinds, cells, strict=True)
        return _tag("tr", "".join(_tag(tag, escape(cell), scope=scope, class_=kind) for kind, cell in pairs))

    head = _tag("thead", line("th", header, "col"))
    body = _tag("tbody", _lines(line("td", row) for row in rows))
    facts = "facts" if len(header) == 2 else ""  # a name and what is to be said of it, which may be long
    caption = _tag("p", escape(table.caption), class_="caption") + "\n" if table.caption else ""
    return caption + _wide(table.caption or header[0], _tag("table", _lines([head, body]), class_=facts))


def _wide(label: str, content: str) -> str:
    """A box that scrolls by itself; it can be reached by keyboard, so that no mouse is needed."""
    return _tag("div", content, class_="wide", tabindex="0", role="region", aria_label=label)


def _numeric(cells: Sequence[str]) -> bool:
    """Whether a column reads as figures: its cells begin with a digit or a sign, or are empty."""
    return any(cells) and all(cell[0] in "0123456789+-−±" for cell in cells if cell)


def _figure(figure: Figure, drawn: dict[str, Any]) -> str:
    charts = []
    for chart in figure.charts:
        place = f"chart-{len(drawn)}"
        drawn[place] = draw_plotly.figure(chart)
        style = f"height:{chart.height}px" + (f";min-width:{chart.min_width}px" if chart.min_width else "")
        plot = _tag("div", "", id=place, role="img", aria_label=chart.title, style=style)
        box = _wide(chart.title, plot) if chart.min_width else plot
        charts.append(_tag("div", _tag("h3", escape(chart.title)) + box, class_="chart"))
    columns = f"--columns:{min(figure.columns, len(charts))}"
    grid = _tag("div", "\n".join(charts), class_="charts", style=columns)
    return _tag("figure", grid + _tag("figcaption", escape(figure.caption)))


def _scripts(drawn: dict[str, Any]) -> list[str]:
    """plotly, the charts as data, and what draws them; nothing on a page without charts."""
    if not drawn:
        return []
    from plotly.offline import get_plotlyjs

    return [
        "<noscript><p>The charts need JavaScript; as pictures they are in the folder plots.</p></noscript>",
        f'<script type="application/json" id="colours">{json.dumps(list(COLOURS))}</script>',
        f'<script type="application/json" id="charts">{_json(drawn)}</script>',
        f"<script>{get_plotlyjs()}</script>",
        f"<script>\n{_file('page.js')}\n</script>",
    ]


def _json(value: Any) -> str:
    """JSON that may stand in a script: no `<` can end it or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)
