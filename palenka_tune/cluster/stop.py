"""How a person or a scheduler stops a command: Ctrl-C, SIGTERM, SLURM's SIGUSR1.

A signal ends the command at once with an `Interrupted`, and what is on disk stays whole. Only a search that runs its
trials is patient: the first signal asks the trials to save what they have, a second ends it at once.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interrupted(KeyboardInterrupt):
    """A signal ended the command; `exit_code` is 130 for Ctrl-C and 143 for the others, `hint` says how to resume."""

    hint = ""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number).name
        self.exit_code = 130 if number == signal.SIGINT else 143


_raised: list[Interrupted] = []  # the last one


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[Callable[[], None]]:
    """Let `handler` have the signals; yields a function that takes them again from a library that took them. Outside
    the main thread, where Python knows no signals, nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _raised.clear()  # of an earlier command of this process

    def take() -> None:
        for number in SIGNALS:
            signal.signal(number, handler)

    take()
    try:
        yield take
    finally:
        for number, known in before.items():
            signal.signal(number, signal.SIG_DFL if known is None else known)


def interrupt(number: int, frame: FrameType | None = None) -> None:
    """The handler that ends a command at once."""
    _raised[:] = [Interrupted(number)]
    raise _raised[0]


def interrupted(error: KeyboardInterrupt, hint: str = "") -> Interrupted:
    """The `Interrupted` behind `error`, with this hint if it is given: while Ray's core waits it raises a plain
    `KeyboardInterrupt` for what a handler raised."""
    found = error if isinstance(error, Interrupted) else next(iter(_raised), Interrupted(signal.SIGINT))
    found.hint = hint or found.hint
    return found


class Fault(BaseException):
    """Carries an error from another thread into the main one, past handlers of ordinary exceptions there."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Patience:
    """The handler of a search: the first signal is noted in `number` and told to `asked`, the second ends it."""

    def __init__(self, asked: Callable[[str], None]) -> None:
        self.number: int | None = None
        self._asked = asked
        self._raised: BaseException | None = None
        self._fault: Exception | None = None

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        if self._fault is not None:
            self._raised = Fault(self._fault)
        elif self.number is not None:
            self._raised = Interrupted(number)
        else:
            self.number = number
            self._asked(signal.Signals(number).name)
            return
        raise self._raised

    def end(self, error: Exception) -> None:
        """From another thread: raise `Fault(error)` in the main one."""
        self._fault = error
        _thread.interrupt_main(signal.SIGINT)

    def settle(self) -> None:
        """After the work, however a library let it end: raise what the handler raised, or was asked to raise."""
        if self.number is not None:
            raise Interrupted(self.number)
        if self._fault is not None:
            raise self._fault
