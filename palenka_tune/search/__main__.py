"""`python -m palenka_tune.search`; see `palenka_tune.commands.search`."""

import sys

from palenka_tune.commands import options, search

if __name__ == "__main__":
    sys.exit(options.run(search.cli))
