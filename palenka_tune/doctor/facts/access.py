"""Measures access to Ray: does it answer, does it accept the driver's token, does it admit a client without one?

Ray's own `ray health-check` asks, in processes with a time limit: Ray's client in this process would retry for minutes
and cannot be interrupted.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from palenka_tune.doctor.facts import Access
from palenka_tune.errors import UserError

CONNECT_SECONDS = 5.0
HEALTH_SECONDS = 25.0
HEALTH = "from ray.scripts.scripts import main; main()"


def check_address(address: str | None) -> None:
    """Refuse an address that a search could not use either."""
    if address is None or address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not (host and colon and port.isdigit()):
        raise UserError(
            f"--address is {address}; give HOST:PORT of the cluster's head as `ray start` printed it, or auto on a "
            "node of the cluster (from elsewhere: ray job submit)"
        )


def reach(address: str | None) -> Access:
    """Ask at `address`; None is a Ray that the search starts itself, on loopback and with a fresh token."""
    if address is None:
        return Access(None, open=os.environ.get("RAY_AUTH_MODE") != "token")
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            reason = "it does not answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            return Access(address, refused=f"nothing answers there ({reason})")
    tokens = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    anybody = {name: value for name, value in os.environ.items() if name not in tokens} | {"RAY_AUTH_MODE": "disabled"}
    with ThreadPoolExecutor(2) as pool:
        (admitted, reason), (is_open, _) = pool.map(partial(_health, address), (os.environ, anybody))
    return Access(address, None if admitted else reason, by_token=admitted is False, open=is_open)


def _health(address: str, environment: Mapping[str, str]) -> tuple[bool | None, str]:
    """Whether Ray admits a client with that environment (False: it asks for a token; None: unknown), and the reason."""
    argv = [sys.executable, "-c", HEALTH, "health-check", *([] if address == "auto" else ["--address", address])]
    stdin, stdout, stderr = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    try:
        done = subprocess.run(
            argv, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, text=True, timeout=HEALTH_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"something answers there, but not as Ray does within {HEALTH_SECONDS:.0f} s"
    if done.returncode == 0:
        return True, ""
    if "AuthenticationError" in done.stdout:
        missing = "no authentication token was found" in done.stdout or "currently 'disabled'" in done.stdout
        return False, "it asks for a token and this process has none" if missing else "it refuses this token"
    lines = done.stdout.strip().splitlines() or [f"ray health-check ends {done.returncode}"]
    return None, lines[-1]
