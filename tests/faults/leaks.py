"""What a search shows to others: its ports and its secrets, by `python -m tests.faults.leaks`.

Secrets are planted in the environment where a user would have them. While the search runs, every socket that one of its
processes listens on must be on loopback; afterwards none of the secrets may be in its storage, its output, MLflow's
database or Ray's logs.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.mlflow_outage import Server, ended
from tests.faults.searches import Place, wait_for

RAY_LOGS = Path(tempfile.gettempdir()) / "ray"
PLANTED = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD")
LISTENS = "0A"


def listening(pids: Iterable[int]) -> set[str]:
    """`address:port` of every TCP socket on which one of these processes listens."""
    inodes = set()
    for pid in pids:
        try:
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            continue
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in inodes:
                address, port = fields[1].split(":")
                words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
                packed = b"".join(struct.pack("=I", word) for word in words)
                found.add(f"{socket.inet_ntop(family, packed)}:{int(port, 16)}")
    return found


def is_loopback(address: str) -> bool:
    """Whether an `address:port` is reached from this machine only."""
    host = ipaddress.ip_address(address.rpartition(":")[0])
    mapped = getattr(host, "ipv4_mapped", None)
    return (mapped or host).is_loopback


def holders(folders: Iterable[Path], words: dict[str, str], since: float) -> list[str]:
    """Files changed since then that hold one of the words: `file: name of the word`."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_symlink() or not path.is_file() or path.stat().st_mtime < since:
                    continue
                data = path.read_bytes()
            except OSError:
                continue
            found += [f"{path}: {name}" for name, word in words.items() if word.encode() in data]
    return found


def experiment(folder: Path) -> dict[str, Any]:
    """A search with planted secrets, looked at from outside."""
    place = Place.make(folder / "place")
    since = (folder / "place").stat().st_mtime
    server = Server(place, folder / "server")
    server.start()
    words = {name: secrets.token_hex(12) for name in PLANTED}
    place.environment |= words
    words["in a URL"] = secrets.token_hex(12)
    place.environment["MLFLOW_TRACKING_URI"] = server.uri.replace("://", f"://someone:{words['in a URL']}@")
    process, run = place.start("leaks"), place.run_folder("leaks")
    try:
        wait_for(lambda: process.poll() is not None or ended(run) >= 2, 300, "the end of two trials")
        assert process.poll() is None, place.said("leaks")
        watched = set(place.processes()) - set(server.pids())
        open_to = sorted(listening(watched))
        assert process.wait(timeout=600) == 0, place.said("leaks")
    finally:
        place.kill_all()
    return {
        "processes": len(watched),
        "listening": len(open_to),
        "listening_beyond_loopback": [address for address in open_to if not is_loopback(address)],
        "files_with_a_secret": holders([folder, RAY_LOGS], words, since),
    }


def good(result: dict[str, Any]) -> bool:
    """Whether there was something to see and nothing was shown."""
    return bool(result["listening"]) and not (result["listening_beyond_loopback"] or result["files_with_a_secret"])


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
