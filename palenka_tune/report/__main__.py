"""`python -m palenka_tune.report`; see `palenka_tune.commands.report`."""

import sys

from palenka_tune.commands import options, report

if __name__ == "__main__":
    sys.exit(options.run(report.cli))
