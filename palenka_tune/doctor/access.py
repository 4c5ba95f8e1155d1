"""The way in: does Ray answer at the address, does it take the driver's token, does it let in a client without one?

Each question is asked with a time limit of its own before Ray's client is used, which would try for minutes. Ray's own
command `ray health-check` asks them, in processes that can be ended.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

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
    asked = {mode: _health(address, mode) for mode in (None, "disabled")}
    verdict, said = _outcome(asked[None])
    unlocked, _ = _outcome(asked["disabled"])
    is_open = {"in": True, "token": False}.get(unlocked)
    if verdict == "in":
        return Access(address, open=is_open)
    return Access(address, refused=said, by_token=verdict == "token", open=is_open)


def _health(address: str, mode: str | None) -> subprocess.Popen[str]:
    """Ray's own check, as this user (`mode` None) or with another RAY_AUTH_MODE."""
    environment = {**os.environ, **({} if mode is None else {"RAY_AUTH_MODE": mode})}
    if mode == "disabled":
        for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            environment.pop(name, None)
    argv = [sys.executable, "-c", HEALTH, "health-check", *([] if address == "auto" else ["--address", address])]
    return subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _outcome(process: subprocess.Popen[str]) -> tuple[str, str]:
    """(`in`, `token` or `away`, the reason)."""
    try:
        said, _ = process.communicate(timeout=HEALTH_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "away", f"something answers there, but not as Ray does within {HEALTH_SECONDS:.0f} s"
    if process.returncode == 0:
        return "in", ""
    if "AuthenticationError" in said:
        missing = "no authentication token was found" in said or "currently 'disabled'" in said
        return "token", "it asks for a token and this process has none" if missing else "it refuses this token"
    lines = said.strip().splitlines() or [f"ray health-check ends {process.returncode}"]
    return "away", lines[-1]
