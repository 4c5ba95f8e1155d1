"""The parser of commands, and how a command runs: its errors, signals and exit codes."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from palenka_tune.cluster import stop
from palenka_tune.config.build import parse_assignment
from palenka_tune.config.console import lasting_output, lasting_terminal, open_missing_streams
from palenka_tune.config.environment import calm_libraries
from palenka_tune.config.options import add_options
from palenka_tune.errors import PalenkaError, UserError, closest, nearest


class Parser(argparse.ArgumentParser):
    """argparse whose help keeps `examples` as written, and whose errors are `UserError`s with the nearest option.

    Args:
        command: Its name.
        description: What it does; without `examples`, those follow in it after a line `Examples:`, as they do in the
            docstring of the command's module.
        examples: Command lines that a user may copy.
        options: A dataclass whose fields are options; see `palenka_tune.config.options`.
    """

    def __init__(
        self, command: str, description: str | None, examples: str | None = None, *, options: type | None = None
    ) -> None:
        if examples is None:
            description, _, examples = (description or "").partition("\nExamples:\n")
        super().__init__(
            prog=f"python -m palenka_tune.{command}",
            description=description,
            epilog=f"examples:\n{examples.rstrip()}",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.examples = examples
        if options is not None:
            add_options(self, options)

    def keywords(self, argv: Sequence[str]) -> dict[str, Any]:
        """The options of a command line by name, with what `--set` gives as `settings`."""
        args = vars(self.parse_args(argv))
        if "overrides" in args:
            args["settings"] = dict(parse_assignment(text) for text in args.pop("overrides"))
        return args

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """The options of a command line; raises `UserError` for one that is wrong."""
        words = sys.argv[1:] if args is None else list(args)
        self._check_options(words)  # first: argparse would call a misspelt required option missing
        options, rest = self.parse_known_args(words, namespace)
        if rest:
            self.error(f"'{rest[0]}' is more than the command takes")
        return options

    def _check_options(self, words: Sequence[str]) -> None:
        options = [name for action in self._actions for name in action.option_strings]
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if re.match(r"-[^\d.]", word) and name not in options:  # and no negative number
                self.error(f"there is no option {name}{closest(name, options)}")

    def error(self, message: str) -> None:  # type: ignore[override]
        choice = re.fullmatch(r"argument (.+): invalid choice: (.*) \(choose from (.*)\)", message)
        if choice:
            name, value, choices = choice[1], choice[2].strip("'"), [each.strip(" '") for each in choice[3].split(",")]
            message = f"{name} is '{value}'{nearest(value, choices)}"
        raise UserError(f"{message}; see {self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Paragraphs as written, and most options with what they do on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs as wide as the terminal, and lists of terms, whose further lines are indented; what else is
        indented, as examples are, stays as it is."""
        return "\n\n".join(_paragraph(block, width) for block in text.split("\n\n"))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _fill(" ".join(text.split()), width).splitlines()

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        """Only what is required or positional; the list of options follows."""
        shown = [action for action in actions if action.required or not action.option_strings]
        super().add_usage(usage, shown, [], prefix)


def _paragraph(block: str, width: int) -> str:
    """A paragraph, or a list of terms, in lines of at most `width` characters, if it has longer ones."""
    entries = re.split(r"\n(?=\S)", block)
    terms = [re.match(r"\S+ {2,}", entry) for entry in entries]
    if all(len(line) <= width for line in block.splitlines()):
        return block
    if all(terms):
        filled = (_fill(entry, width, len(term[0])) for entry, term in zip(entries, terms, strict=True) if term)
        return "\n".join(filled)
    return block if re.search(r"^ ", block, re.MULTILINE) else _fill(block, width)


def _fill(text: str, width: int, indent: int = 0) -> str:
    """Lines of at most `width` characters, broken between words alone, all but the first indented."""
    first, rest = text[:indent], " ".join(text[indent:].split())
    wrap = textwrap.TextWrapper(width, first, " " * indent, break_long_words=False, break_on_hyphens=False)
    return wrap.fill(rest)


def run(cli: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for a mistake of the user, 1 for a foreseen fault, 130 for Ctrl-C,
    143 for SIGTERM and SIGUSR1, with which a scheduler announces the end. A terminal that is closed and output that
    cannot be written change none of that."""
    calm_libraries()
    open_missing_streams()
    for stream in (sys.stdout, sys.stderr):  # one that is not UTF-8 shows what it can
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with lasting_output(), lasting_terminal():
        return _run(cli, argv)


def _run(cli: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None) -> int:
    try:
        with stop.handled(stop.interrupt):
            return cli(sys.argv[1:] if argv is None else argv) or 0
    except PalenkaError as error:
        complain(str(error))
        return error.exit_code
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror or error}{where}; free space or fix the permission, and run again")
        return 1
    except KeyboardInterrupt as error:
        stopped = stop.interrupted(error)
        print(f"stopped by {stopped.signal}{'; ' if stopped.hint else ''}{stopped.hint}", file=sys.stderr)
        return stopped.exit_code


def complain(message: str) -> None:
    """Print an error on standard error. On a terminal that may have colours, what to do (after the last semicolon) and
    the nearest name stand out."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal or console.no_color:
        print(f"error: {message}", file=sys.stderr)
        return
    what, semicolon, fix = message.rpartition("; ")
    text = Text.assemble(("error:", "bold red"), " ", what or fix, (f"{semicolon}{fix}" if what else "", "bold"))
    text.highlight_regex(r"(?<=did you mean )'[^']*'", "bold green")
    console.print(text)
