"""A web server of a command line on a free port of loopback, for as long as a test looks at its pages."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(argv: Sequence[str], url: str, log: Path, seconds: float = 300.0) -> Iterator[str]:
    """Run `argv` until the block ends, in a session of its own; yields `url` once it answers.

    Raises `AssertionError` with what the server said if it ends before, or does not answer in time.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent, start_new_session=True
        )
    try:
        deadline = time.monotonic() + seconds
        while not _answers(url):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.25)
        yield url
    finally:
        for number in (
            signal.SIGTERM,
            signal.SIGKILL,
        ):  # a server waits for a browser's open connection
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)  # the server and the workers it started
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
