"""`python -m palenka_tune.reproduce poster|grid`: the poster's ten systems, or its grid, at any scale."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from palenka_tune.cluster.session import protect
from palenka_tune.commands.options import Parser
from palenka_tune.config.console import progress_on
from palenka_tune.config.files import write_json
from palenka_tune.data.prepare import BABYTALK
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suites import choices_in
from palenka_tune.reproduce.experiments import ReproduceConfig
from palenka_tune.reproduce.rows import ROWS, chosen_rows
from palenka_tune.reproduce.scales import SCALES, get_scale
from palenka_tune.spaces.experiment import SEED
from palenka_tune.spaces.poster_method import CORRECTED, METHODS
from palenka_tune.storage.mirror import DEFAULT_STORAGE

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


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("reproduce", DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("what", choices=["poster", "grid"], metavar="poster|grid", help="the ten rows, or the grid")
    add("--scale", default="tiny", metavar="NAME", help=f"{', '.join(SCALES)} (default: tiny, minutes on two cores)")
    add("--rows", metavar="NAME,NAME", help="only these rows (default: all ten)")
    add(
        "--method",
        choices=list(METHODS),
        help=f"as the poster ran it, or as it should be (default: {CORRECTED}; grid: both)",
    )
    add(
        "--data",
        metavar="DIR|babytalk|OWNER/NAME",
        help="a folder in BabyLM layout, a Hugging Face dataset id, or the built-in corpus (default: babytalk)",
    )
    add(
        "--source",
        metavar="DIR",
        help="a folder with blimp/, blimp_supplement/ or ewok/ to score on (default: the corpus' own pairs, if any)",
    )
    add("--storage", default=DEFAULT_STORAGE, metavar="DIR", help=f"runs and artifacts (default: {DEFAULT_STORAGE})")
    add("--name", help="the run's name (default: poster-SCALE-METHOD)")
    add("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    add("--concurrent", type=int, help="students at a time (default: one per GPU or core)")
    add("--address", help="a running Ray cluster (default: start Ray on this machine)")
    add("--dry-run", action="store_true", help="print what each row takes, and train nothing")
    add("--tflops", type=float, metavar="N", help="dry run: sustained speed of your machine, in TFLOP/s")
    add("--json", metavar="FILE", help="write the results, or the dry run, there")
    add("--quiet", action="store_true", help="print the result only")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code: 1 if a row failed."""
    args = parser().parse_args(argv)
    args.command = shlex.join(["python", "-m", "palenka_tune.reproduce", *argv])
    get_scale(args.scale)
    names = None if args.rows is None else tuple(name.strip() for name in args.rows.split(",") if name.strip())
    chosen_rows(names)
    if args.concurrent is not None and args.concurrent < 1:
        raise UserError(f"--concurrent is {args.concurrent}; it must be 1 or more")
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=160)
    if args.what == "grid" and (args.rows is not None or args.source is not None):
        raise UserError(
            "--rows and --source belong to reproduce poster; the grid is one system, compared by its losses"
        )
    if args.dry_run:
        results = _dry_run(args, names, console)
    else:
        config = ReproduceConfig(
            scale=args.scale,
            method=args.method or CORRECTED,
            rows=names,
            source=args.data or BABYTALK,
            seed=args.seed,
            storage=args.storage,
            name=args.name or (f"grid-{args.scale}" if args.what == "grid" else None),
            suites=choices_in(args.source, "--source") if args.source else (),
            address=args.address,
            concurrent=args.concurrent,
        )
        SEED.check("seed", config.seed)
        config.run_name  # noqa: B018 - a bad name is refused before anything is imported
        protect(args.address)
        results = (_grid if args.what == "grid" else _poster)(args, config, console)
    if args.json:
        write_json(args.json, results)
    return 1 if any("failed" in row for row in results.get("rows", ())) else 0


def _dry_run(args: argparse.Namespace, names: Sequence[str] | None, console: Console) -> dict[str, Any]:
    from palenka_tune.reproduce.dry_run import dry_run, table

    if args.what == "grid":
        raise UserError("--dry-run belongs to reproduce poster; for the grid: search poster_grid --dry-run")
    plan = dry_run(args.scale, args.data, names, args.tflops)
    console.print(table(plan))
    return plan


def _poster(args: argparse.Namespace, config: ReproduceConfig, console: Console) -> dict[str, Any]:
    from palenka_tune.reproduce import poster, report  # ray: only once the input is known to be good

    with progress_on(console, quiet=args.quiet):
        results = poster.run(config)
    folder = Path(config.storage).expanduser().absolute() / config.run_name
    page = report.write_report(folder, results, args.command)
    console.print(report.table(results))
    for line in report.sentences(results):
        console.print(line, markup=False)
    console.print(f"{results['wall_seconds']:.0f} s; {folder / poster.RESULTS}, {page}", markup=False)
    return results


def _grid(args: argparse.Namespace, config: ReproduceConfig, console: Console) -> dict[str, Any]:
    from palenka_tune.reproduce import grid

    methods = [args.method] if args.method else list(METHODS)
    return grid.run(config, methods, console, command=args.command, quiet=args.quiet)
