"""From runs to files: `report.html`, and each figure as PNG and SVG in `plots/` beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from palenka_tune.report.charts.draw_matplotlib import write_pictures
from palenka_tune.report.charts.figure import Figure
from palenka_tune.report.data import RunData
from palenka_tune.report.page import Section, write_page
from palenka_tune.report.sections import comparison, sections
from palenka_tune.report.text import lead, title

REPORT, PLOTS = "report.html", "plots"


def write_report(path: Path, runs: Sequence[RunData]) -> list[Path]:
    """Write the page to `path` and the pictures to `plots/` in its folder; returns all paths, the page first."""
    heading, figures = write_html(path, runs)
    plots = path.parent / PLOTS
    return [path, *(file for figure in figures for file in write_pictures(plots, figure, heading))]


def write_html(path: Path, runs: Sequence[RunData]) -> tuple[str, list[Figure]]:
    """Write the page alone; returns its title and the figures on it.

    Of one run the page is that run's; of several it begins with the comparison, and has the parts of each after it.
    """
    if len(runs) == 1:
        (run,) = runs
        heading, opening, parts = title(run), lead(run), sections(run)
    else:
        heading = f"Searches {', '.join(run.name for run in runs)}"
        opening, parts = [f"{len(runs)} searches beside each other, then each by itself."], [comparison(runs)]
        for run in runs:
            parts.append(Section(title(run), *lead(run)))
            parts += [_of(run, part) for part in sections(run)]
    write_page(path, heading, opening, parts)
    return heading, [figure for part in parts for figure in part.figures]


def _of(run: RunData, part: Section) -> Section:
    """A part of one run among several: its heading and the names of its files say whose it is."""
    content = [
        dataclasses.replace(each, name=f"{run.name}_{each.name}") if isinstance(each, Figure) else each
        for each in part.content
    ]
    return Section(f"{run.name}: {part.heading.lower()}", *content)
