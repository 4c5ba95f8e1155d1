"""`palenka-tune` and `python -m palenka_tune`: list the commands, or run one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from palenka_tune import __version__
from palenka_tune.commands import COMMANDS, module_of


def usage() -> str:
    """The list of commands."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"palenka-tune {__version__}: find the best way to distil a small language model", ""]
    lines += [f"  palenka-tune {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    lines += ["", "Each is also `python -m palenka_tune.NAME`; `--help` explains it. To begin: palenka-tune search, or"]
    lines += ["palenka-tune init DIR for a search space of your own. palenka-tune --version prints the version."]
    return "\n".join(lines)


def main() -> int:
    """Run the command named by the first argument."""
    from palenka_tune.commands import options
    from palenka_tune.errors import UserError, nearest

    def cli(argv: Sequence[str]) -> int:
        name, *rest = argv or ["--help"]
        if name in ("-h", "--help", "help"):
            print(usage())
            return 0
        if name == "--version":
            print(__version__)
            return 0
        if name not in COMMANDS:
            raise UserError(f"there is no command '{name}'{nearest(name, COMMANDS)}; see palenka-tune --help")
        return int(module_of(name).cli(rest) or 0)

    return options.run(cli)


if __name__ == "__main__":
    sys.exit(main())
