"""`python -m palenka_tune.completion`; see `palenka_tune.commands.completion`."""

import sys

from palenka_tune.commands import completion, options

if __name__ == "__main__":
    sys.exit(options.run(completion.cli))
