"""What a search shows while it runs: a live view on a terminal, a line per finished trial in a log, or nothing.

It reads the study and the files as `status` does, and keeps no record of its own.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from rich.console import Console
from rich.live import Live

from palenka_tune.status.reader import StatusReader
from palenka_tune.status.view import finished_line, view
from palenka_tune.trials.ledger import Proposal

LOOK_SECONDS = 1.0
logger = logging.getLogger(__name__)


class Display:
    """An observer of the search that `reader` sees; `plain` gives a terminal the lines of a log."""

    def __init__(self, reader: StatusReader, console: Console, *, quiet: bool = False, plain: bool = False) -> None:
        self.reader, self.console, self.quiet = reader, console, quiet
        self._live: Live | None = None
        if not quiet and shows_live(console, plain):
            self._live = Live(console=console, auto_refresh=False)
        self._over = threading.Event()
        # not a renderable of Live: it would look with Live's lock held, for which the search's own lines wait
        self._thread = threading.Thread(target=self._watch, name="display", daemon=True)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._over.set()
            self._thread.join()
            self._look()
            self._live.stop()

    def _watch(self) -> None:
        while True:
            self._look()
            if self._over.wait(LOOK_SECONDS):
                return

    def _look(self) -> None:
        assert self._live is not None
        try:
            self._live.update(view(self.reader.look(), within=True), refresh=True)
        except Exception:  # such as a database that is away for a moment: the next look shows more
            logger.debug("the search cannot be seen for now", exc_info=True)

    def started(self, proposal: Proposal) -> None:
        """Nothing to do: the next look shows it."""

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to do: the next look shows it."""

    def finished(self, trial_id: str, state: str, reason: str | None) -> None:
        if not self.quiet and self._live is None:
            self.console.print(finished_line(self.reader.look(), trial_id), markup=False)


def shows_live(console: Console, plain: bool) -> bool:
    """Whether the console is one on which a view can be drawn anew."""
    return console.is_terminal and not console.is_dumb_terminal and not plain
