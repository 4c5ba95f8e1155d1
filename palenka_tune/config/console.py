"""Standard output as the commands use it."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console


def make_console() -> Console:
    """Standard output; a file or pipe is as wide as the tables need."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=120)


def line_logger(quiet: bool) -> Callable[[str], None]:
    """Where a command sends its lines of progress: standard output at once, or nowhere."""
    return (lambda line: None) if quiet else (lambda line: print(line, flush=True))
