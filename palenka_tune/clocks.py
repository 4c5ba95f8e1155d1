"""A clock for judges: what was silent while nobody could speak is not judged for it.

A machine that is paused (a lid that is closed, `scontrol suspend`, SIGSTOP to all processes, a frozen container) stops
who is watched and who watches. Then the usual clocks run on, and after it all seem to have been silent for hours.
"""

from __future__ import annotations

import time


class AwakeClock:
    """Seconds in which the process of its caller ran, who asks often: more than `most` seconds between two calls are a
    pause, of which a tenth of `most` counts.

    That much counts, so that where each call is late, on a machine that swaps, a judgement is put off and not lost.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._seconds, self._last = 0.0, time.monotonic()

    def now(self) -> float:
        """Seconds since the clock was made."""
        here = time.monotonic()
        passed, self._last = here - self._last, here
        self._seconds += passed if passed <= self._most else self._most / 10
        return self._seconds
