"""`python -m palenka_tune.doctor [SPACE]`: checks, before a search costs money, whether all that it needs is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from palenka_tune.commands.options import Parser, add_experiment_options
from palenka_tune.config.build import parse_assignment
from palenka_tune.config.files import write_json
from palenka_tune.runs.options import SearchOptions
from palenka_tune.spaces.resolve import DEFAULT_SPACE, resolve
from palenka_tune.storage.mirror import DEFAULT_STORAGE

DESCRIPTION = """\
Check, before you pay for it, whether a cluster (or this machine) has what a search needs: Ray and its token, the nodes
and their versions and clocks, GPUs and memory against the plan, the storage from every node, disk for the teachers'
cache, the study's database, MLflow. Every fault comes with its fix. Nothing is trained and nothing is left behind.
Ends 0 if no fault was found, 1 if one was."""

EXAMPLES = """\
  python -m palenka_tune.doctor
      this machine, for the search that `python -m palenka_tune.search` would run
  python -m palenka_tune.doctor dskd --scale poster --address 10.0.0.1:6379 --storage /nfs/runs --gpus-per-trial 0.5
      a cluster, for the poster's search with two students on a GPU
  python -m palenka_tune.doctor --address auto --json doctor.json
      from a node of the cluster, and for a script to read"""


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("doctor", DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("space", nargs="?", metavar="SPACE", help=f"the search's YAML file or name (default: {DEFAULT_SPACE})")
    add_experiment_options(parser)
    add("--address", help="a running Ray cluster (default: start Ray on this machine)")
    add("--study-storage", metavar="URL", help="as the search will be given it")
    add("--concurrent", type=int, help="trials at a time, as the search will be given it")
    add("--gpus-per-trial", type=float, help="share of a GPU for each trial, as for the search")
    add("--samples", type=int, help="trials to propose, as for the search")
    add("--cache-budget", type=float, metavar="GB", help="disk for the teachers' outputs, as for the search")
    add("--teachers-online", action="store_true", help="as for the search: no outputs are kept")
    add("--json", type=Path, metavar="FILE", help="write the findings there too")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, examine, print, return the exit code: 1 if a fault was found."""
    args = parser().parse_args(argv)
    given = {
        "scale": args.scale,
        "data.source": args.data,
        "seed": args.seed,
        "search.samples": args.samples,
        "cache.budget_gb": args.cache_budget,
        "cache.form": "online" if args.teachers_online else None,
    }
    config = resolve(args.space, options=given, assignments=[parse_assignment(text) for text in args.overrides])
    options = SearchOptions(
        storage=args.storage or DEFAULT_STORAGE,
        concurrent=args.concurrent,
        gpus_per_trial=args.gpus_per_trial,
        address=args.address,
        study_storage=args.study_storage,
    )
    from palenka_tune.doctor.run import examine  # mlflow and others: only once the input is known to be good

    report = examine(config, options)
    if args.json:
        write_json(args.json, report.as_json())
    print("\n".join(report.lines(bad_only=args.quiet)))
    return 0 if report.healthy else 1
