"""`python -m palenka_tune.doctor`; see `palenka_tune.commands.doctor`."""

import sys

from palenka_tune.commands import doctor, options

if __name__ == "__main__":
    sys.exit(options.run(doctor.cli))
