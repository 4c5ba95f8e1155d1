"""`python -m palenka_tune.status [RUN]`: what a search is doing, or what became of it."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_json
from palenka_tune.errors import UserError
from palenka_tune.storage.mirror import DEFAULT_STORAGE

if TYPE_CHECKING:
    from rich.console import Console

    from palenka_tune.status.reader import Status, StatusReader
    from palenka_tune.storage.snapshot import Snapshot

DESCRIPTION = """\
Show a running or finished search from any machine that sees its storage: its state, its trials and where they run, the
best student so far and the anchors, what is left, what needs attention, and the command to go on with it.

It only reads: it takes no lock, repairs and writes nothing in the storage, and asks neither Ray nor MLflow."""

EXAMPLES = """\
  python -m palenka_tune.status
      the search in ./palenka_runs that was worked in last
  python -m palenka_tune.status dskd-20260131-154501 --storage /mnt/shared/palenka --watch
      one search, again every 5 seconds until it ends; a live view on a terminal, a line per change in a log
  python -m palenka_tune.status RUN --study-storage postgresql://user@host/db --json status.json
      a search whose study is in a database (PALENKA_STUDY_STORAGE may hold a URL with a password), also as JSON"""

WATCH_SECONDS = 5.0


@dataclass(frozen=True)
class StatusOptions:
    """Which search, and how to show it. `run` is a name in `storage`, a folder, or None: the one worked in last;
    `watch` the seconds between two looks (None: one look), `plain` for lines on a terminal too; `json` a file that gets
    the status too."""

    run: str | None = None
    storage: str | None = None
    study_storage: str | None = None
    watch: float | None = None
    plain: bool = False
    json: str | None = None


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("status", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "run",
        nargs="?",
        default=None,
        metavar="RUN",
        help="a search's name or folder (default: the one worked in last)",
    )
    parser.add_argument(
        "--storage", default=None, metavar="DIR|URL", help=f"where searches are kept (default: {DEFAULT_STORAGE})"
    )
    parser.add_argument(
        "--study-storage", default=None, metavar="URL", help="the database of the study, if it is in one"
    )
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=WATCH_SECONDS,
        default=None,
        metavar="SECONDS",
        help=f"look again until the search ends, every {WATCH_SECONDS:g} s or as given (it goes after RUN)",
    )
    parser.add_argument("--plain", action="store_true", help="with --watch: lines on a terminal too, no live view")
    parser.add_argument("--json", default=None, metavar="FILE", help="write the status to FILE too")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = parser().parse_args(argv)
    main(StatusOptions(**vars(args)))
    return 0


def main(config: StatusOptions, console: Console | None = None) -> Status:
    """Show the search and return its status; with `watch`, when it has ended or at Ctrl-C.

    Raises `UserError` if there is no such search or its study is not where it should be.
    """
    from palenka_tune.config.console import make_console

    console = console or make_console()
    with tempfile.TemporaryDirectory(prefix="palenka-") as below:
        return _show(located(config.run, config.storage, config.study_storage, Path(below)), config, console)


def located(run: str | None, storage: str | None, study_storage: str | None, below: Path) -> StatusReader:
    """Who looks at the search `run` (a name in `storage`, a folder, or None: the one worked in last). One in a remote
    storage is copied to a folder in `below`.

    Raises `UserError` if there is no such search or `study_storage` cannot be used.
    """
    from palenka_tune.runs.run_folder import JOURNAL, find_run
    from palenka_tune.runs.study import study_url
    from palenka_tune.status.reader import StatusReader

    snapshot = None
    if storage is not None and "://" in storage:
        snapshot = _snapshot(run, storage, below)
        snapshot.refresh()
        folder = find_run(None, snapshot.folder.parent)
    else:
        given = run is None or storage is not None or not Path(run).expanduser().is_dir()
        folder = find_run(run, Path(storage or DEFAULT_STORAGE).expanduser().absolute() if given else None)
    # the environment may name a database for another search: a study that lies in the folder is this one's
    url = study_url(study_storage) if study_storage or not (folder / JOURNAL).exists() else None
    return StatusReader(folder, folder.parent, url, snapshot)


def _snapshot(run: str | None, storage: str, below: Path) -> Snapshot:
    """The run of a remote storage, to be copied to a folder in `below`; raises `UserError` if there is none."""
    from palenka_tune.runs.run_folder import OWNER, find_run
    from palenka_tune.storage.mirror import working_folder
    from palenka_tune.storage.remote import Remote
    from palenka_tune.storage.snapshot import Snapshot

    remote = Remote.parse(storage)
    name = run or find_run(None, working_folder(remote.url)).name
    if remote.stamp(f"{name}/{OWNER}") is None:
        raise UserError(f"there is no search '{name}' in {remote.url}; give the name of one")
    return Snapshot(remote, name, below / name)


def _show(reader: StatusReader, config: StatusOptions, console: Console) -> Status:
    """Print the status, once or again and again."""
    from palenka_tune.status.view import view

    if config.watch is not None:
        return _watch(reader, config, console)
    status = _look(reader, config)
    console.print(view(status))
    return status


def _look(reader: StatusReader, config: StatusOptions) -> Status:
    status = reader.look()
    if config.json is not None:
        write_json(config.json, as_json(status))
    return status


def as_json(status: Status) -> dict[str, Any]:
    """Plain data for JSON: the fields of `Status`, and whether it is running."""
    return {**dataclasses.asdict(status), "is_running": status.is_running}


def _watch(reader: StatusReader, config: StatusOptions, console: Console) -> Status:
    """Look again and again until the search does not run any more, or a person has seen enough."""
    from rich.live import Live

    from palenka_tune.status.live import shows_live
    from palenka_tune.status.view import line, view

    status = _look(reader, config)
    try:
        if shows_live(console, config.plain):
            with Live(view(status), console=console, auto_refresh=False) as live:
                while status.is_running:
                    time.sleep(config.watch or WATCH_SECONDS)
                    status = _look(reader, config)
                    live.update(view(status), refresh=True)
            return status
        said = ""
        while True:
            now = line(status)
            if now.partition(" ")[2] != said:
                console.print(now, markup=False)
            said = now.partition(" ")[2]
            if not status.is_running:
                break
            time.sleep(config.watch or WATCH_SECONDS)
            status = _look(reader, config)
        console.print(view(status))
    except KeyboardInterrupt:
        pass
    return status


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; give RUN before --watch") from None
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} seconds between two looks; give more than 0")
    return seconds
