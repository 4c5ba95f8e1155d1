"""`python -m palenka_tune.init`; see `palenka_tune.commands.init`."""

import sys

from palenka_tune.commands import init, options

if __name__ == "__main__":
    sys.exit(options.run(init.cli))
