"""What a command makes of its arguments, without running it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock


class _Parsed(Exception):  # noqa: N818  (it carries a result)
    def __init__(self, namespace: argparse.Namespace) -> None:
        super().__init__()
        self.namespace = namespace


def parsed(command: Callable[[Sequence[str]], Any], argv: Sequence[str]) -> argparse.Namespace:
    """The arguments as `command(argv)` parses them; SystemExit if it refuses them. Nothing after that is run."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        raise _Parsed(parse(self, args, namespace))

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            command(argv)
        except _Parsed as found:
            return found.namespace
    raise AssertionError("the command parses no arguments")
