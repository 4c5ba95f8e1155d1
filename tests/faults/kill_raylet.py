"""Kill Ray on this machine (its raylet) with SIGKILL at random moments: `python -m tests.faults.kill_raylet`."""

from __future__ import annotations

import sys

from tests.faults.killing import command
from tests.faults.searches import Place


def victim(place: Place, driver: int) -> list[int]:
    """Ray on the node (its raylet)."""
    return list(place.processes("raylet/raylet"))[:1]


if __name__ == "__main__":
    sys.exit(command(__doc__, victim, max_failures=1000))
