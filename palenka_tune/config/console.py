"""Standard output as the commands use it: for tables, and for the lines of progress that our modules log.

A module says what it does with `logging` (`logger.info`); `progress_on` is the one handler that shows it. Printing
never ends work: in `lasting_output`, what a closed terminal, a closed pipe or a full disk does not take is lost.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console

OURS = logging.getLogger("palenka_tune")
STREAMS = ("stdout", "stderr")


class _LastingFile(io.FileIO):
    """A descriptor on which every write succeeds; `gone` once nobody can read what is written."""

    gone = False

    def write(self, data: Any, /) -> int:
        try:
            while (count := super().write(data)) is None:  # a reader that made the pipe non-blocking
                select.select([], [self], [])
            return count
        except OSError as error:
            self.gone = error.errno in (errno.EPIPE, errno.EIO)
            return len(memoryview(data).cast("B"))


class _LastingStream(io.TextIOWrapper):
    """Text on a `_LastingFile`."""

    def __init__(self, stream: TextIO) -> None:
        self.file = _LastingFile(stream.fileno(), "w", closefd=False)
        super().__init__(
            io.BufferedWriter(self.file),
            encoding=stream.encoding,
            errors=getattr(stream, "errors", None),
            line_buffering=getattr(stream, "line_buffering", False),
            write_through=getattr(stream, "write_through", True),
        )

    def is_gone(self) -> bool:
        """Whether the last write found a closed terminal or pipe."""
        return self.file.gone


def keep_printing() -> None:
    """From now on no write to standard output or standard error raises an error: for a process that only works."""
    for name in STREAMS:
        stream = getattr(sys, name)
        if not isinstance(stream, _LastingStream) and _is_open(stream):
            with contextlib.suppress(OSError):
                stream.flush()
            setattr(sys, name, _LastingStream(stream))


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """While the block runs, no write to standard output or standard error raises an error. Another such block inside it
    changes nothing."""
    before = {name: getattr(sys, name) for name in STREAMS}
    keep_printing()
    try:
        yield
    finally:
        for name, stream in before.items():
            if getattr(sys, name) is not stream:
                getattr(sys, name).flush()
                setattr(sys, name, stream)


def output_is_gone() -> bool:
    """Whether standard output is a terminal or pipe that was closed, as far as `lasting_output` has seen."""
    return isinstance(sys.stdout, _LastingStream) and sys.stdout.is_gone()


@contextlib.contextmanager
def lasting_terminal() -> Iterator[None]:
    """While the block runs, the end of the terminal does not end this process, nor those that it starts. Outside the
    main thread, where Python knows no signals, nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if before is None else before)


def open_missing_streams() -> None:
    """Open what the caller closed (`>&-`) on the null device: a file that is opened later would get its number, and
    what a library prints there would land in it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


def _is_open(stream: Any) -> bool:
    """Whether the stream writes to a descriptor, as one that a notebook or a test has put there may not."""
    try:
        os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return True


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

    Printing does not end the block. Inside another such block it changes nothing: a command that runs a search shows
    each line once.
    """
    with lasting_output(), _progress_on(console, quiet):
        yield


@contextlib.contextmanager
def _progress_on(console: Console, quiet: bool) -> Iterator[None]:
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
