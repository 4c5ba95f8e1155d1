"""Show a running or finished search from any machine that sees its storage: its state, its trials and where they run,
the best student so far and that of each arm, what is left, what needs attention, and the command that resumes it.

It only reads: it takes no lock, repairs and writes nothing in the storage, and asks neither Ray nor MLflow.

Examples:
  python -m palenka_tune.status
      the latest search in ./palenka_runs
  python -m palenka_tune.status dskd-20260131-154501 --storage /mnt/shared/palenka --watch
      one search, again every 5 seconds until it ends; a live view on a terminal, a line per change in a log
  python -m palenka_tune.status RUN --study-storage postgresql://user@host/db --json status.json
      a search whose study is in a database (PALENKA_STUDY_STORAGE may hold a URL with a password), also as JSON
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_json
from palenka_tune.config.options import flag, option
from palenka_tune.errors import UserError
from palenka_tune.storage.mirror import DEFAULT_STORAGE

if TYPE_CHECKING:
    from rich.console import Console

    from palenka_tune.status.reader import Status, StatusReader
    from palenka_tune.storage.snapshot import Snapshot

WATCH_SECONDS = 5.0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; give RUN before --watch") from None
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} seconds between two looks; give more than 0")
    return seconds


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Where searches are kept, and their studies."""

    storage: str | None = option(f"where searches are kept (default: {DEFAULT_STORAGE})", "DIR|URL")
    study_storage: str | None = option("the database of the study, if it is in one", "URL")


@dataclass(frozen=True, kw_only=True)
class StatusOptions(StudyOptions):
    """Which search, and how to show it."""

    run: str | None = option("a search's name or folder (default: the latest)", "RUN", positional=True)
    watch: float | None = option(
        f"look again until the search ends, every {WATCH_SECONDS:g} s or as given (it goes after RUN)",
        "SECONDS",
        nargs="?",
        type=_seconds,
        const=WATCH_SECONDS,
    )
    plain: bool = flag("with --watch: lines on a terminal too, no live view")
    json: str | None = option("write the status to FILE too", "FILE")


def parser() -> Parser:
    """The options of the command."""
    return Parser("status", __doc__, options=StatusOptions)


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    main(StatusOptions(**parser().keywords(argv)))
    return 0


def main(options: StatusOptions, console: Console | None = None) -> Status:
    """Show the search and return its status; with `watch`, when it has ended or at Ctrl-C.

    Raises `UserError` if there is no such search or its study is not where it should be.
    """
    from palenka_tune.config.console import make_console
    from palenka_tune.status.view import view

    console = console or make_console()
    with open_reader(options.run, options) as reader:
        if options.watch is not None:
            return _watch(reader, options, console)
        status = _look(reader, options)
        console.print(view(status))
        return status


@contextlib.contextmanager
def open_reader(run: str | None, options: StudyOptions) -> Iterator[StatusReader]:
    """Read the search `run` (a name in the storage, a folder, or None: the latest). One in a remote storage is copied
    to a temporary folder.

    Raises `UserError` if there is no such search or its study cannot be used.
    """
    from palenka_tune.runs.run_folder import JOURNAL, find_run
    from palenka_tune.runs.study import study_url
    from palenka_tune.status.reader import StatusReader

    with tempfile.TemporaryDirectory(prefix="palenka-") as temporary:
        snapshot = None
        if options.storage is not None and "://" in options.storage:
            snapshot = _snapshot(run, options.storage, Path(temporary))
            snapshot.refresh()
            folder = find_run(None, snapshot.folder.parent)
        elif run is not None and options.storage is None and Path(run).expanduser().is_dir():
            folder = find_run(run, None)
        else:
            folder = find_run(run, Path(options.storage or DEFAULT_STORAGE).expanduser().absolute())
        # PALENKA_STUDY_STORAGE may be meant for another search: a study in the folder itself is this one's
        in_database = options.study_storage or not (folder / JOURNAL).exists()
        yield StatusReader(folder, folder.parent, study_url(options.study_storage) if in_database else None, snapshot)


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


def _look(reader: StatusReader, options: StatusOptions) -> Status:
    """The status now, which `--json` gets too."""
    status = reader.look()
    if options.json is not None:
        write_json(options.json, {**dataclasses.asdict(status), "is_running": status.is_running})
    return status


def _watch(reader: StatusReader, options: StatusOptions, console: Console) -> Status:
    """Show the status until the search ends, nobody can see it any more, or Ctrl-C: live, or as a line for each change
    and the whole at the end."""
    from rich.live import Live

    from palenka_tune.config.console import output_is_gone
    from palenka_tune.status.view import line, shows_live, view

    live = Live(console=console, auto_refresh=False) if shows_live(console, options.plain) else None
    shown = ""
    status = _look(reader, options)
    with contextlib.suppress(KeyboardInterrupt), live or contextlib.nullcontext():
        while True:
            now = line(status)
            without_time = now.partition(" ")[2]
            if live:
                live.update(view(status), refresh=True)
            elif without_time != shown:
                console.print(now, markup=False)
                shown = without_time
            if not status.is_running or output_is_gone():
                break
            time.sleep(options.watch or WATCH_SECONDS)
            status = _look(reader, options)
        if not live:
            console.print(view(status))
    return status
