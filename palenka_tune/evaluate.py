"""`python -m palenka_tune.evaluate`, and `evaluate.run` for Python; see `palenka_tune.evaluation.run`."""

import sys

from palenka_tune.commands import options
from palenka_tune.commands.evaluate import cli
from palenka_tune.evaluation.run import run

__all__ = ["run"]

if __name__ == "__main__":
    sys.exit(options.run(cli))
