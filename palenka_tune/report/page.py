"""A page that can be sent as one file: headings, sentences, tables and charts, with nothing to load.

In: a title and sections of plain text, tables as rows of text, figures as described in `charts`. Out: one HTML file
that fetches nothing: plotly is inside, once, and only if there are charts. Colours follow the reader's light or dark
setting, and what is wider than the screen scrolls in its own box. All text is escaped.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palenka_tune.config.files import write_text
from palenka_tune.errors import PalenkaError
from palenka_tune.report.charts.draw_plotly import figure as interactive
from palenka_tune.report.charts.figure import Figure
from palenka_tune.report.page_style import SCRIPT, colour_names, style

LONG = 4  # sections from which on a page has links to them


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


@dataclass(frozen=True)
class Section:
    """A part of the page: heading, paragraphs, tables, figures, and what is folded away."""

    heading: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    folds: Sequence[Fold] = ()


def write_page(path: Path, title: str, lead: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write the page and return its path; `lead` are the paragraphs under the title.

    Raises:
        PalenkaError: if a table's row is not as long as its header.
    """
    drawn: dict[str, Any] = {}
    parts = [_section(f"part-{number}", section, drawn) for number, section in enumerate(sections)]
    links = _links(sections) if len(sections) >= LONG else []
    body = [f"<h1>{html.escape(title)}</h1>", *_paragraphs(lead), *links, *parts, *_scripts(drawn)]
    # the browser itself is told to fetch nothing, whatever a script should want
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:" + (
        "; script-src 'unsafe-inline'" if drawn else ""
    )
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style()}\n</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n",
    )
    return path


def _links(sections: Sequence[Section]) -> list[str]:
    items = [f'<a href="#part-{number}">{html.escape(each.heading)}</a>' for number, each in enumerate(sections)]
    return ['<nav aria-label="parts of this page">\n' + "\n".join(items) + "\n</nav>"]


def _section(name: str, section: Section, drawn: dict[str, Any]) -> str:
    """The section in HTML; its charts are added to `drawn` under the ids of their places."""
    parts = [f"<h2>{html.escape(section.heading)}</h2>", *_paragraphs(section.paragraphs)]
    parts += [_table(table) for table in section.tables]
    parts += [_figure(f"{name}-{number}", figure, drawn) for number, figure in enumerate(section.figures)]
    parts += [_fold(fold) for fold in section.folds]
    return f'<section id="{name}">\n' + "\n".join(parts) + "\n</section>"


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [f"<p>{html.escape(text)}</p>" for text in texts]


def _table(table: Table) -> str:
    header, rows = table.header, table.rows
    for row in rows:
        if len(row) != len(header):
            raise PalenkaError(f"a table of {len(header)} columns has a row of {len(row)}: {', '.join(row)}")
    kinds = [' class="number"' if _numeric([row[column] for row in rows]) else "" for column in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{html.escape(cell)}</th>' for kind, cell in zip(kinds, header, strict=True))
    body = ""
    for row in rows:
        line = "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        body += f"<tr>{line}</tr>\n"
    caption = f'<p class="caption">{html.escape(table.caption)}</p>\n' if table.caption else ""
    facts = ' class="facts"' if len(header) == 2 else ""  # a name and what is to be said of it, which may be long
    return caption + _wide(
        table.caption or header[0],
        f"<table{facts}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>",
    )


def _wide(label: str, content: str) -> str:
    """A box that scrolls by itself; it can be reached by keyboard, so that no mouse is needed."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(label)}">{content}</div>'


def _numeric(cells: Sequence[str]) -> bool:
    """Whether a column reads as figures: its cells begin with a digit or a sign, or are empty."""
    return any(cells) and all(cell[0] in "0123456789+-−±" for cell in cells if cell)


def _figure(name: str, figure: Figure, drawn: dict[str, Any]) -> str:
    charts = []
    for number, chart in enumerate(figure.charts):
        place = f"{name}-{number}"
        drawn[place] = interactive(chart)
        style = f"height:{chart.height}px" + (f";min-width:{chart.min_width}px" if chart.min_width else "")
        plot = f'<div id="{place}" role="img" aria-label="{html.escape(chart.title)}" style="{style}"></div>'
        if chart.min_width:
            plot = _wide(chart.title, plot)
        charts.append(f'<div class="chart"><h3>{html.escape(chart.title)}</h3>{plot}</div>')
    columns = min(figure.columns, len(figure.charts))
    return (
        f'<figure id="{html.escape(figure.name)}-{name}"><div class="charts" style="--columns:{columns}">'
        + "\n".join(charts)
        + f"</div><figcaption>{html.escape(figure.caption)}</figcaption></figure>"
    )


def _fold(fold: Fold) -> str:
    body = _table(fold.body) if isinstance(fold.body, Table) else f'<pre tabindex="0">{html.escape(fold.body)}</pre>'
    return f"<details><summary>{html.escape(fold.summary)}</summary>{body}</details>"


def _scripts(drawn: dict[str, Any]) -> list[str]:
    """plotly, the charts as data, and what draws them; nothing on a page without charts."""
    if not drawn:
        return []
    from plotly.offline import get_plotlyjs

    return [
        "<noscript><p>The charts need JavaScript; as pictures they are in the folder plots.</p></noscript>",
        f'<script type="application/json" id="colours">{json.dumps(colour_names())}</script>',
        f'<script type="application/json" id="charts">{_json(drawn)}</script>',
        f"<script>{get_plotlyjs()}</script>",
        f"<script>\n{SCRIPT}\n</script>",
    ]


def _json(value: Any) -> str:
    """JSON that may stand in a script: no `<` can end it or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
