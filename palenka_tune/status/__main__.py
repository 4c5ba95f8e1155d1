"""`python -m palenka_tune.status`; see `palenka_tune.commands.status`."""

import sys

from palenka_tune.commands import options, status

if __name__ == "__main__":
    sys.exit(options.run(status.cli))
