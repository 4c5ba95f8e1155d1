"""A page that can be sent as one file: headings, sentences, tables and pictures, with nothing to load.

In: a title and sections of plain text, tables as rows of text and the paths of pictures. Out: one HTML file without
scripts and without addresses to fetch: pictures are inside, colours follow the reader's light or dark setting, and what
is wider than the screen scrolls in its own box. All text is escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.config.files import write_text
from palenka_tune.errors import PalenkaError

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --band: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161b; --ink: #e6e9ed; --soft: #9aa5b1; --line: #353c45; --band: #1a2027; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th:first-child, td:first-child { padding-left: .2rem; }
.number { text-align: right; }
th { color: var(--soft); font-weight: 600; }
tbody tr:nth-child(even) { background: var(--band); }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; min-width: 46rem; background: #fff; border-radius: 6px; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
""".strip()


@dataclass(frozen=True)
class Section:
    """A part of the page: heading, paragraphs, then a table (header, rows) and pictures (path, caption)."""

    heading: str
    paragraphs: Sequence[str] = ()
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None
    figures: Sequence[tuple[Path, str]] = ()


def write_page(path: Path, title: str, lead: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write the page and return its path; `lead` are the paragraphs under the title.

    Raises:
        PalenkaError: if a table's row is not as long as its header, or a picture is neither SVG nor PNG.
    """
    body = [f"<h1>{html.escape(title)}</h1>", *_paragraphs(lead), *(_section(section) for section in sections)]
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n",
    )
    return path


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.heading)}</h2>", *_paragraphs(section.paragraphs)]
    if section.table:
        parts.append(_table(*section.table))
    parts += [_figure(path, caption) for path, caption in section.figures]
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [f"<p>{html.escape(text)}</p>" for text in texts]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    for row in rows:
        if len(row) != len(header):
            raise PalenkaError(f"a table of {len(header)} columns has a row of {len(row)}: {', '.join(row)}")
    kinds = [' class="number"' if _numeric([row[column] for row in rows]) else "" for column in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{html.escape(cell)}</th>' for kind, cell in zip(kinds, header, strict=True))
    body = ""
    for row in rows:
        line = "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        body += f"<tr>{line}</tr>\n"
    # The box can be reached by keyboard, so that it can be scrolled without a mouse.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(header[0])}">'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>"
    )


def _numeric(cells: Sequence[str]) -> bool:
    """Whether a column reads as figures: its cells begin with a digit or a sign, or are empty."""
    return any(cells) and all(cell[0] in "0123456789+-−±" for cell in cells if cell)


def _figure(path: Path, caption: str) -> str:
    kind = MEDIA_TYPES.get(path.suffix.lower())
    if kind is None:
        raise PalenkaError(f"{path} cannot be put on a page; give an .svg or a .png")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = html.escape(caption)
    return (
        f'<figure><div class="wide" tabindex="0" role="region" aria-label="{text}">'
        f'<img alt="{text}" src="data:{kind};base64,{data}"></div><figcaption>{text}</figcaption></figure>'
    )
