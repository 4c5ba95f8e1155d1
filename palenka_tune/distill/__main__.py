"""`python -m palenka_tune.distill`; see `palenka_tune.commands.distill`."""

import sys

from palenka_tune.commands import distill, options

if __name__ == "__main__":
    sys.exit(options.run(distill.cli))
