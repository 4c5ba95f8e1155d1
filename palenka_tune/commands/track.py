"""Send to MLflow what a search logged while the server was away, in order and each value once.

A search keeps everything that it logs in its folder, sends it when the server is back, and never waits for that. What
is left when it ends is sent by this command. Runs that a killed search left open are ended as KILLED, unless the search
is running again. Where a folder was moved to another machine or copied from there, `moved` or `copied` says which,
once, and sends what is left: to the runs that MLflow has, or to new ones of the copy.

Examples:
  python -m palenka_tune.track replay palenka_runs/dskd-20260131-154501
      to the server that the search used
  MLFLOW_TRACKING_URI=postgresql://user:password@host/mlflow python -m palenka_tune.track replay RUN
      the same, where the address needs a password (a search keeps none on disk)
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from palenka_tune.commands.options import Parser
from palenka_tune.errors import UserError
from palenka_tune.words import plural


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("track", __doc__)
    parser.add_argument(
        "action", choices=["replay", "moved", "copied"], metavar="replay|moved|copied", help="what to do"
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, which holds mlflow.spool.jsonl")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = parser().parse_args(argv)

    from palenka_tune.runs.run_folder import locked
    from palenka_tune.tracking.ship import end_open_runs, replay, tell
    from palenka_tune.tracking.spool import spool_path

    spool_path(args.run)  # before a lock file is made in a folder that is no run
    if args.action != "replay":
        tell(args.run, args.action)
    ended = 0
    with contextlib.suppress(UserError), locked(args.run):  # a search that is running ends its runs itself
        ended = end_open_runs(args.run)
    if ended:
        print(f"ended as KILLED: {plural(ended, 'run')} left open by a process that died")
    print(f"sent {replay(args.run)} events of {args.run} to MLflow")
    return 0
