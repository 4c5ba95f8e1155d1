"""`python -m palenka_tune.train`; see `palenka_tune.commands.train`."""

import sys

from palenka_tune.commands import options, train

if __name__ == "__main__":
    sys.exit(options.run(train.cli))
