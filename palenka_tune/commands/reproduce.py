"""`python -m palenka_tune.reproduce poster|grid`: the poster's ten systems, or its grid, at any scale."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from palenka_tune.cluster.session import protect
from palenka_tune.commands.options import Parser
from palenka_tune.config.console import make_console, progress_on
from palenka_tune.config.files import write_json
from palenka_tune.config.options import flag, option
from palenka_tune.errors import UserError
from palenka_tune.reproduce.experiments import ReproduceConfig
from palenka_tune.reproduce.rows import ROWS, chosen_rows
from palenka_tune.reproduce.scales import get_scale
from palenka_tune.spaces.experiment import SEED

DESCRIPTION = f"""\
Run the systems of the PalenkaLM poster and compare what was published with what is measured.

poster  the ten rows: {", ".join(ROWS)}
grid    the 25 points over alpha and beta, as published and corrected, and what each objective picks

--scale poster is the true architectures and schedules; tiny and small shrink widths, depths, vocabulary and schedule in
proportion. --method as_published keeps the poster's three faults: no gradient through the hidden loss, KL summed over a
window, selection on a total that contains the weights. A run that was stopped is resumed by the same command."""

EXAMPLES = """\
  python -m palenka_tune.reproduce poster --scale poster --dry-run
      parameters, tokens, FLOPs, hours and GPU memory of each row; nothing is trained
  python -m palenka_tune.reproduce poster --scale tiny --data ../babylm_10M --source ../evaluation
      all ten rows on two CPU cores, scored on what --source holds of blimp, blimp_supplement and ewok
  python -m palenka_tune.reproduce poster --rows BabyLlama1-58M,PalenkaLlama1-58M-L0.1-H0.5 --method as_published
  python -m palenka_tune.reproduce grid --scale tiny --data ../babylm_10M"""


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions(ReproduceConfig):
    """What the command does of it."""

    what: str = option(
        "the ten rows, or the grid",
        "poster|grid",
        default=dataclasses.MISSING,
        positional=True,
        choices=["poster", "grid"],
    )
    dry_run: bool = flag("print what each row takes, and train nothing")
    tflops: float | None = option("dry run: sustained speed of your machine, in TFLOP/s", "N")
    json: str | None = option("write the results, or the dry run, there", "FILE")


def parser() -> Parser:
    """The options of the command."""
    return Parser("reproduce", DESCRIPTION, EXAMPLES, options=ReproduceOptions)


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code: 1 if a row failed."""
    options = ReproduceOptions(**parser().keywords(argv))
    get_scale(options.scale)
    chosen_rows(options.rows)
    if options.concurrent is not None and options.concurrent < 1:
        raise UserError(f"--concurrent is {options.concurrent}; it must be 1 or more")
    if options.what == "grid" and (options.rows is not None or options.source is not None):
        raise UserError(
            "--rows and --source belong to reproduce poster; the grid is one system, compared by its losses"
        )
    console = make_console(width=160)
    if options.dry_run:
        results = _dry_run(options, console)
    else:
        if options.what == "grid" and not options.name:
            options = dataclasses.replace(options, name=f"grid-{options.scale}")
        SEED.check("seed", options.seed)
        options.run_name, options.suites  # noqa: B018 - what is bad is refused before anything is imported
        protect(options.address)
        command = shlex.join(["python", "-m", "palenka_tune.reproduce", *argv])
        results = (_grid if options.what == "grid" else _poster)(options, command, console)
    if options.json:
        write_json(options.json, results)
    return 1 if any("failed" in row for row in results.get("rows", ())) else 0


def _dry_run(options: ReproduceOptions, console: Console) -> dict[str, Any]:
    from palenka_tune.reproduce.dry_run import dry_run, table

    if options.what == "grid":
        raise UserError("--dry-run belongs to reproduce poster; for the grid: search poster_grid --dry-run")
    plan = dry_run(options.scale, options.data, options.rows, options.tflops)
    console.print(table(plan))
    return plan


def _poster(config: ReproduceConfig, command: str, console: Console) -> dict[str, Any]:
    from palenka_tune.reproduce import poster, report  # ray: only once the input is known to be good

    with progress_on(console, quiet=config.quiet):
        results = poster.run(config)
    folder = Path(config.storage).expanduser().absolute() / config.run_name
    page = report.write_report(folder, results, command)
    console.print(report.table(results))
    for line in report.sentences(results):
        console.print(line, markup=False)
    console.print(f"{results['wall_seconds']:.0f} s; {folder / poster.RESULTS}, {page}", markup=False)
    return results


def _grid(config: ReproduceConfig, command: str, console: Console) -> dict[str, Any]:
    from palenka_tune.reproduce import grid

    return grid.run(config, command, console)
