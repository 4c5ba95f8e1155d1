"""Stop a search with Ctrl-C at random moments and go on: `python -m tests.faults.interrupt_driver`."""

from __future__ import annotations

import signal
import sys

from tests.faults.kill_driver import victim
from tests.faults.killing import command

if __name__ == "__main__":
    sys.exit(command(__doc__, victim, number=signal.SIGINT))
