"""`python -m palenka_tune.report [RUN ...]`: what a search found on one page with plots; several runs side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palenka_tune.commands.options import Parser
from palenka_tune.errors import UserError
from palenka_tune.storage.mirror import DEFAULT_STORAGE

if TYPE_CHECKING:
    from palenka_tune.report.data import RunData

DESCRIPTION = """\
Write what a search found to one page, report.html, that opens anywhere without a network, and every plot as PNG and SVG
to plots/ beside it. A search writes it at its end; this makes it again, also of a search that still runs or was killed,
and of several runs with a comparison first."""

EXAMPLES = """\
  python -m palenka_tune.report
      the search in ./palenka_runs that was worked in last, into its own folder
  python -m palenka_tune.report first second --storage /mnt/shared/palenka --out comparison/report.html
      two searches beside each other
  python -m palenka_tune.report poster --storage s3://bucket/palenka --out poster/report.html
      a search in a bucket"""


@dataclass(frozen=True)
class ReportOptions:
    """Which searches, and where the page goes. `runs` are names in `storage` or folders; none: the one worked in last.
    `out` None: the folder of the run, or of several `./palenka_report`."""

    runs: tuple[str, ...] = ()
    storage: str | None = None
    study_storage: str | None = None
    out: str | None = None


def parser() -> Parser:
    """The command's options."""
    parser = Parser("report", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="a search's name or folder (default: the one worked in last)"
    )
    parser.add_argument(
        "--storage", default=None, metavar="DIR|URL", help=f"where searches are kept (default: {DEFAULT_STORAGE})"
    )
    parser.add_argument(
        "--study-storage", default=None, metavar="URL", help="the database of the studies, if they are in one"
    )
    parser.add_argument(
        "--out",
        default=None,
        metavar="FILE",
        help="the page; plots/ is made beside it (default: report.html in the run's folder, or in ./palenka_report)",
    )
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = parser().parse_args(argv)
    main(ReportOptions(tuple(args.runs), args.storage, args.study_storage, args.out))
    return 0


def main(config: ReportOptions) -> Path:
    """Write the page and the pictures, say where they are, and return the page's path.

    Raises `UserError` if there is no such search, its study is not where it should be, or two runs have one name.
    """
    from palenka_tune.report.write import write_report

    if config.out is not None and Path(config.out).suffix != ".html":
        raise UserError(f"--out is {config.out}; give a file that ends in .html")
    found: list[tuple[RunData, Path | None]] = [_read(run, config) for run in config.runs or (None,)]
    runs = [run for run, _ in found]
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"the run {twice} is given twice; a report shows each run once, and tells them by their names")
    paths = write_report(_page(config, [folder for _, folder in found]), runs)
    print(f"report: {paths[0]}")
    if len(paths) > 1:
        print(f"plots: {paths[1].parent}")
    return paths[0]


def _page(config: ReportOptions, folders: Sequence[Path | None]) -> Path:
    from palenka_tune.report.write import REPORT

    if config.out is not None:
        return Path(config.out).expanduser().absolute()
    own = folders[0] if len(folders) == 1 else None
    return (own or Path("palenka_report").absolute()) / REPORT


def _read(run: str | None, config: ReportOptions) -> tuple[RunData, Path | None]:
    """A run, and its folder if that is no copy of a remote one."""
    from palenka_tune.commands.status import located
    from palenka_tune.report.load import run_data

    with tempfile.TemporaryDirectory(prefix="palenka-") as below:
        reader = located(run, config.storage, config.study_storage, Path(below))
        return run_data(reader), None if reader.snapshot is not None else reader.folder
