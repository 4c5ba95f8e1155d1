"""Options that several commands share, and the one way in which a command is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from palenka_tune.cluster import stop
from palenka_tune.config.environment import calm_libraries
from palenka_tune.errors import PalenkaError

DEFAULT_STORAGE = "./palenka_runs"


class Parser(argparse.ArgumentParser):
    """argparse whose help keeps examples as written and whose errors read like all others (exit code 2)."""

    def __init__(self, command: str, description: str, examples: str) -> None:
        super().__init__(
            prog=f"python -m palenka_tune.{command}",
            description=description,
            epilog=f"examples:\n{examples.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def add_experiment_options(parser: argparse.ArgumentParser) -> None:
    """--data, --scale, --storage, --seed, --set, --quiet."""
    parser.add_argument(
        "--data",
        default=None,
        metavar="DIR|babytalk|OWNER/NAME",
        help="a folder in BabyLM layout, a Hugging Face dataset id, or the built-in corpus (default: babytalk)",
    )
    parser.add_argument(
        "--scale",
        default=None,
        metavar="NAME",
        help="tiny (two cores, minutes), small (one GPU) or poster (default: tiny)",
    )
    parser.add_argument(
        "--storage",
        default=None,
        metavar="DIR|s3://...|gs://...",
        help="where runs and artifacts are kept: a folder that all nodes see, or a URL (file:///folder too), of which "
        f"each node keeps a copy in PALENKA_SCRATCH (default: {DEFAULT_STORAGE})",
    )
    parser.add_argument("--seed", type=int, default=None, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set any setting, such as --set beta=3 --set projection.rank=64 (repeatable)",
    )
    parser.add_argument("--quiet", action="store_true", help="print the result only")


def line_logger(quiet: bool) -> Callable[[str], None]:
    """Where a command sends its lines of progress: standard output at once, or nowhere."""
    return (lambda line: None) if quiet else (lambda line: print(line, flush=True))


def run(cli: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command: 0, 2 for a mistake of the user, 1 for a foreseen fault, 130 for Ctrl-C, 143 for SIGTERM and
    SIGUSR1, with which a scheduler announces its end."""
    calm_libraries()
    try:
        with stop.handled(stop.interrupt):
            return cli(sys.argv[1:] if argv is None else argv) or 0
    except PalenkaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"error: {error.strerror or error}{where}; free space or fix the permission, and run again", file=sys.stderr
        )
        return 1
    except stop.Interrupted as error:
        print(f"stopped by {error.signal}{'; ' if error.hint else ''}{error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
