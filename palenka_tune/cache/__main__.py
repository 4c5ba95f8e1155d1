"""`python -m palenka_tune.cache`; see `palenka_tune.commands.cache`."""

import sys

from palenka_tune.commands import cache, options

if __name__ == "__main__":
    sys.exit(options.run(cache.cli))
