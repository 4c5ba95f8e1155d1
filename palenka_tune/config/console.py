"""Standard output as the commands use it: for tables, and for the lines of progress that our modules log.

A module says what it does with `logging` (`logger.info`); `progress_on` is the one handler that shows it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rich.console import Console

OURS = logging.getLogger("palenka_tune")


class _ConsoleHandler(logging.Handler):
    """Prints records on a rich console, so that a live view above them stays whole."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False)


@contextlib.contextmanager
def progress_on(console: Console, *, quiet: bool = False) -> Iterator[None]:
    """Show what our modules log on `console` while the block runs; `quiet`: only warnings, where Python puts them.

    Inside another such block it changes nothing: a command that runs a search shows each line once.
    """
    if quiet or any(isinstance(handler, _ConsoleHandler) for handler in OURS.handlers):
        yield
        return
    handler, level = _ConsoleHandler(console), OURS.level
    OURS.addHandler(handler)
    OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        OURS.removeHandler(handler)
        OURS.setLevel(level)


def make_console(width: int = 120) -> Console:
    """Standard output; a file or pipe is `width` characters wide, as the tables need."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=width)
