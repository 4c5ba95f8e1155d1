"""Check, before you pay for it, whether a cluster (or this machine) has what a search needs: Ray and its token, the
nodes and their versions and clocks, GPUs and memory against the plan, the storage from every node, disk for the
teachers' cache, the study's database, MLflow. Every fault comes with its fix. Nothing is trained and nothing is left
behind. Ends 0 if no fault was found, 1 if one was. Options are given as they will be given to the search.

Examples:
  python -m palenka_tune.doctor
      this machine, for the search that `python -m palenka_tune.search` would run
  python -m palenka_tune.doctor dskd --scale poster --address 10.0.0.1:6379 --storage /nfs/runs --gpus-per-trial 0.5
      a cluster, for the poster's search with two students on a GPU
  python -m palenka_tune.doctor --address auto --json doctor.json
      from a node of the cluster, and for a script to read
"""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_json
from palenka_tune.config.options import add_options
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.given import open_config
from palenka_tune.spaces.options import ExperimentOptions, RayOptions
from palenka_tune.spaces.resolve import DEFAULT_SPACE, resolve
from palenka_tune.storage.mirror import working_folder

# the options of a search that say what it needs of the machines
NEEDS = ("samples", "cache_budget", "teachers_online", "concurrent", "gpus_per_trial", "study_storage")


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("doctor", __doc__)
    space = f"the search's YAML file or name (default: {DEFAULT_SPACE})"
    parser.add_argument("space", nargs="?", metavar="SPACE", help=space)
    add_options(parser, ExperimentOptions)
    add_options(parser, RayOptions)
    add_options(parser, SearchOptions, NEEDS)
    parser.add_argument("--json", metavar="FILE", help="write the findings there too")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, examine, print, return the exit code: 1 if a fault was found."""
    keywords = parser().keywords(argv)
    space, file, options = keywords.pop("space"), keywords.pop("json"), SearchOptions(**keywords)
    config = resolve(space, options=options.as_settings(), assignments=[*options.settings.items()])
    config = open_config(config, working_folder(options.storage), weights=False)
    from palenka_tune.doctor.examination import examine  # mlflow and others: only once the input is known to be good

    report = examine(config, options)
    if file:
        write_json(file, report.as_json())
    print("\n".join(report.lines(bad_only=options.quiet)))
    return 0 if report.healthy else 1
