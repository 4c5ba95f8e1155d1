"""Write what a search found to one page, report.html, that opens anywhere without a network, and every plot as PNG and
SVG to plots/ beside it. A search writes it at its end; this makes it again, also of a search that still runs or was
killed, and of several runs with a comparison first.

Examples:
  python -m palenka_tune.report
      the latest search in ./palenka_runs, into its own folder
  python -m palenka_tune.report first second --storage /mnt/shared/palenka --out comparison/report.html
      two searches beside each other
  python -m palenka_tune.report poster --storage s3://bucket/palenka --out poster/report.html
      a search in a bucket
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palenka_tune.commands.options import Parser
from palenka_tune.commands.status import StudyOptions, open_reader
from palenka_tune.config.options import option
from palenka_tune.errors import UserError

if TYPE_CHECKING:
    from palenka_tune.report.data import RunData


@dataclass(frozen=True, kw_only=True)
class ReportOptions(StudyOptions):
    """Which searches, and where the page goes."""

    runs: tuple[str, ...] = option(
        "a search's name or folder (default: the latest)", "RUN", default=(), positional=True
    )
    out: str | None = option(
        "the page; plots/ is made beside it (default: report.html in the run's folder, or in ./palenka_report)", "FILE"
    )


def parser() -> Parser:
    """The options of the command."""
    return Parser("report", __doc__, options=ReportOptions)


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    main(ReportOptions(**parser().keywords(argv)))
    return 0


def main(options: ReportOptions) -> Path:
    """Write the page and the pictures, print where they are, and return the page's path.

    Raises `UserError` if there is no such search, its study is not where it should be, or two runs have one name.
    """
    from palenka_tune.report.write import REPORT, write_report

    if options.out is not None and Path(options.out).suffix != ".html":
        raise UserError(f"--out is {options.out}; give a file that ends in .html")
    runs, folder = [], Path("palenka_report").absolute()
    for name in options.runs or (None,):
        run, local = _read(name, options)
        runs.append(run)
        if local is not None and len(options.runs) < 2:
            folder = local
    name, count = Counter(run.name for run in runs).most_common(1)[0]
    if count > 1:
        raise UserError(f"the run {name} is given twice; a report shows each run once, and tells them by their names")
    page, *pictures = write_report(Path(options.out or folder / REPORT).expanduser().absolute(), runs)
    print(f"report: {page}")
    if pictures:
        print(f"plots: {pictures[0].parent}")
    return page


def _read(run: str | None, options: ReportOptions) -> tuple[RunData, Path | None]:
    """A run, and its folder unless that is a copy of a remote one."""
    from palenka_tune.report.load import run_data

    with open_reader(run, options) as reader:
        return run_data(reader), None if reader.snapshot is not None else reader.folder
