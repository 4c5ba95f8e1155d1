"""`python -m palenka_tune.reproduce`; see `palenka_tune.commands.reproduce`."""

import sys

from palenka_tune.commands import options, reproduce

if __name__ == "__main__":
    sys.exit(options.run(reproduce.cli))
