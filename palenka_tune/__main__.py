"""`palenka-tune` and `python -m palenka_tune`: list the commands, or run one."""

from __future__ import annotations

import importlib
import sys

from palenka_tune import __version__

COMMANDS = {
    "search": "search for the best way to distil a student, and keep it",
    "distill": "train one student with fixed settings",
    "train": "train one teacher",
    "cache": "keep the teachers' outputs: build, verify, info",
    "evaluate": "score a model on minimal pairs",
    "reproduce": "run the poster's ten systems, or its grid, at any scale",
    "status": "show a search that runs or has ended, from any machine that sees its storage",
    "report": "write what a search found to one page with plots, or compare several",
    "doctor": "before a search: look whether the cluster has all that it needs",
    "track": "send to MLflow what its server missed",
}


def usage() -> str:
    """The list of commands."""
    lines = [f"palenka-tune {__version__}: find the best way to distil a small language model", ""]
    lines += [f"  palenka-tune {name:<9} {what}" for name, what in COMMANDS.items()]
    lines += ["", "Each is also `python -m palenka_tune.NAME`; `--help` explains it. To begin: palenka-tune search"]
    return "\n".join(lines)


def main() -> int:
    """Run the command named by the first argument."""
    from palenka_tune.commands import options
    from palenka_tune.errors import UserError, nearest

    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, *rest = arguments

    def cli(argv: object) -> int:
        if name not in COMMANDS:
            raise UserError(f"there is no command '{name}'{nearest(name, COMMANDS)}")
        return int(importlib.import_module(f"palenka_tune.commands.{name}").cli(rest) or 0)

    return options.run(cli, rest)


if __name__ == "__main__":
    sys.exit(main())
