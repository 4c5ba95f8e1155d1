"""Errors that a person can act on: one sentence with what was given, where, what is allowed and the nearest fix.

`UserError` is a mistake in the input (exit code 2, found before any work starts); `PalenkaError` is everything else
that we foresaw (exit code 1). `palenka_tune.commands.options.run` turns both into one line on stderr.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMED = 20  # known names that a message lists


class PalenkaError(Exception):
    """Root of every error that palenka_tune raises on purpose."""

    exit_code = 1


class UserError(PalenkaError, ValueError):
    """Input that cannot work: the message is one sentence with what, where, allowed and fix."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without a full stop; the name of its class if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'beta'?)"` for the closest known name, or the known ones if none is close: all of a few, the
    nearest of many."""
    names = [str(item) for item in known]
    if hint := closest(name, names):
        return hint
    if len(names) > MOST_NAMED:
        return f" (nearest of {len(names)}: {', '.join(difflib.get_close_matches(str(name), names, 4, 0))})"
    return f" (known: {', '.join(names)})" if names else ""


def closest(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'beta'?)"` for the closest known name, or nothing if none is close."""
    close = difflib.get_close_matches(str(name), [str(item) for item in known], n=1, cutoff=0.55)
    return f" (did you mean '{close[0]}'?)" if close else ""
