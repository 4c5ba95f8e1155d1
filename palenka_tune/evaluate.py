"""`python -m palenka_tune.evaluate`; see `palenka_tune.commands.evaluate`."""

import sys

from palenka_tune.commands import evaluate, options

if __name__ == "__main__":
    sys.exit(options.run(evaluate.cli))
