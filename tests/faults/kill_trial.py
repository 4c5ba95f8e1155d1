"""Kill the process of the running trial with SIGKILL at random moments: `python -m tests.faults.kill_trial`."""

from __future__ import annotations

import sys

from palenka_tune.config.sealed import Slate
from tests.faults.killing import command
from tests.faults.searches import Place


def victim(place: Place, driver: int) -> list[int]:
    """The process of the running trial."""
    pulses = [slate.read() for path in place.storage.glob("*/checkpoints/trial-*.pulse") for slate in [Slate(path)]]
    return [pulse["pid"] for pulse in pulses if pulse and pulse["pid"]][:1]


if __name__ == "__main__":
    sys.exit(command(__doc__, victim, max_failures=1000))
