"""A room of one's own on this machine: namespaces for network, mounts and processes, and Ray nodes in it.

What listens there is reached from nowhere else, what is mounted there nobody else sees, and every process in it ends
with the command. It needs the right to make namespaces (root).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

INSIDE = "PALENKA_TEST_SEALED"
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120


def enter(module: str, argv: Sequence[str]) -> int | None:
    """Run `python -m module argv` again in namespaces of its own and return its exit code; None if this is it.

    Raises `PermissionError` where no namespaces may be made.
    """
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return None
    unshare = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    unshare.append("--mount-proc")
    tried = subprocess.run([*unshare, "true"], capture_output=True, text=True)
    if tried.returncode:
        raise PermissionError(f"cannot make namespaces ({tried.stderr.strip()}); run it as root")
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([*unshare, sys.executable, "-m", module, *argv], env=environment, cwd=ROOT).returncode


def mount_tmpfs(folder: Path, size: str) -> Path:
    """A small disk at `folder`, for this room."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    return folder


class RayNodes:
    """A Ray cluster of daemons on 127.0.0.1, 127.0.0.2, ... started as an administrator would, by `ray start`."""

    def __init__(self, folder: Path, port: int, token: str | None) -> None:
        self.folder, self.port = folder, port
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        if token:
            self.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        self._processes: dict[str, list[int]] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def head(self, *, cpus: int = 1, options: Sequence[str] = ("--include-dashboard=false",)) -> None:
        """Start the head."""
        argv = ["--head", f"--port={self.port}", f"--temp-dir={self.folder}", *options]
        self._start("127.0.0.1", cpus, argv, {}, ())

    def worker(
        self,
        host: str,
        *,
        cpus: int = 1,
        gpus: int = 0,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Start a worker; the shell commands `before` come first, in a mount namespace of its own."""
        self._start(host, cpus, [f"--address={self.address}", f"--num-gpus={gpus}"], environment or {}, before)

    def _start(
        self, host: str, cpus: int, argv: Sequence[str], environment: Mapping[str, str], before: Sequence[str]
    ) -> None:
        known = self._all()
        start = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", *argv]
        start += [f"--node-ip-address={host}", f"--num-cpus={cpus}", "--object-store-memory=80000000"]
        start += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        if before:
            start = ["unshare", "--mount", "sh", "-c", "; ".join(["set -e", *before, 'exec "$@"']), "sh", *start]
        done = subprocess.run(
            start, env={**self.environment, **environment}, capture_output=True, text=True, timeout=START_SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self._processes[host] = sorted(self._all() - known)

    def stop(self, host: str) -> None:
        """Kill the daemons of a node."""
        for pid in self._processes.pop(host, []):
            if pid in self._all():
                os.kill(pid, signal.SIGKILL)

    def freeze(self, host: str) -> None:
        """Stop the raylet of a node without ending it."""
        for pid in self._processes[host]:
            if b"raylet/raylet" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGSTOP)

    def stop_all(self) -> None:
        """Kill every process of this cluster, and wait until they are gone."""
        for pid in self._all():
            os.kill(pid, signal.SIGKILL)
        self._processes.clear()
        while self._all():
            time.sleep(0.1)

    def _all(self) -> set[int]:
        """Processes of this cluster, by its folder in their command line."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.folder).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
        return found - {os.getpid()}
