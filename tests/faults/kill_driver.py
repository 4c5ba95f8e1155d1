"""Kill a search (its driver) with SIGKILL at random moments: `python -m tests.faults.kill_driver`."""

from __future__ import annotations

import sys

from tests.faults.killing import command
from tests.faults.searches import Place


def victim(place: Place, driver: int) -> list[int]:
    """The search itself (its driver)."""
    return [driver]


if __name__ == "__main__":
    sys.exit(command(__doc__, victim))
