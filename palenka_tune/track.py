"""`python -m palenka_tune.track`; see `palenka_tune.commands.track`."""

import sys

from palenka_tune.commands import options, track

if __name__ == "__main__":
    sys.exit(options.run(track.cli))
