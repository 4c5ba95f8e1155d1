"""`clusters/local.yaml` on the hosts of `tests.cluster.hosts`, with only its marked lines changed.

`cluster(folder, log)` is a context manager that yields it, started by `ray up` from the laptop; `down` ends it by
`ray down` and sees to it that nothing is left. What was done and said goes to a log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.hosts import KEY_ON_LAPTOP, Done, Host, Network, wait_for

REPOSITORY = Path(__file__).parents[2]
YAML = REPOSITORY / "clusters" / "local.yaml"
MARK = "# CHANGE"
HEAD = "host1"
VENV = Path(sys.prefix)
STATE = "import json, ray; ray.init('auto', log_to_driver=False); print('STATE', json.dumps(ray.nodes()))"


def changed(text: str, lines: dict[str, str]) -> str:
    """`text` with each marked line that begins with one of `lines` replaced, and all others as they are.

    Raises `AssertionError` if a marked line is left, or one that is not marked would have to change.
    """
    left = dict(lines)
    found = []
    for line in text.splitlines():
        start = next((start for start in left if line.lstrip().startswith(start)), None)
        marked = MARK in line and not line.startswith("#")
        if start is None or not marked:
            assert not marked, f"a line to change that nobody changed: {line}"
            found.append(line)
        else:
            found.append(line[: len(line) - len(line.lstrip())] + left.pop(start))
    assert not left, f"these are not marked lines: {list(left)}"
    return "\n".join(found) + "\n"


class Log:
    """Lines with the seconds since the start, on standard output and in a file, without what is this machine's own."""

    def __init__(self, path: Path | None, hide: dict[str, str]) -> None:
        self.path, self.hide, self.started = path, hide, time.monotonic()
        if path is not None:
            path.write_text("")

    def __call__(self, text: str, *, indent: str = "") -> None:
        stamp = indent or f"[{time.monotonic() - self.started:6.1f} s] "
        for line in text.rstrip("\n").splitlines():
            line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip()
            for what, name in self.hide.items():
                line = line.replace(what, name)
            line = re.sub(r"[0-9a-f]{24,}", lambda found: found[0][:8] + "…", line)
            print(stamp + line, flush=True)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(stamp + line + "\n")


@dataclass
class Cluster:
    """A Ray cluster of `network`'s hosts: host1 is the head."""

    network: Network
    storage: Path
    log: Log
    name: str = "three-hosts"
    names: list[str] = field(default_factory=list)  # of the workers

    @property
    def head(self) -> Host:
        return self.network[HEAD]

    @property
    def workers(self) -> list[Host]:
        return [self.network[name] for name in self.names if name in self.network.hosts]

    def write_yaml(self) -> Path:
        """The YAML file of this cluster, where the laptop sees it."""
        addresses = ", ".join(self.network.address(name) for name in self.names)
        text = changed(
            YAML.read_text(),
            {
                "cluster_name": f"cluster_name: {self.name}",
                "head_ip": f"head_ip: {self.network.address(HEAD)}",
                "worker_ips": f"worker_ips: [{addresses}]",
                "ssh_user": "ssh_user: root",
                "ssh_private_key": f"ssh_private_key: {KEY_ON_LAPTOP}",
                # the checkout under test goes first, whatever the environment has installed
                **export("PALENKA_VENV", f"{VENV} PYTHONPATH={pythonpath()}", ">"),
                **export("PALENKA_CHECKOUT", str(REPOSITORY)),
                **export("PALENKA_STORAGE", str(self.storage)),
                **export("PALENKA_SCRATCH", "$HOME/scratch"),
            },
        )
        path = self.storage.parent / "local.yaml"
        path.write_text(text)
        return path

    @property
    def yaml(self) -> str:
        return str(self.storage.parent / "local.yaml")

    def ray(self, *argv: str, timeout: float = 600, check: bool = True) -> Done:
        """A `ray` command on the laptop, with the token."""
        self.log(f"laptop$ ray {shlex.join(argv)}")
        done = self.network.laptop.run([str(VENV / "bin" / "ray"), *argv], timeout=timeout)
        self.log(done.said, indent="    ")
        if check:
            done.check()
        return done

    def up(self) -> None:
        """Make the token, `ray up`, wait for the workers that are booted."""
        self.write_yaml()
        self.ray("get-auth-token", "--generate", check=True)
        self.ray("up", "-y", "--log-style", "record", self.yaml, timeout=900)
        alive = [name for name in self.names if name in self.network.hosts]
        self.wait_for_workers(alive)

    def wait_for_workers(self, names: Sequence[str], timeout: float = 400) -> None:
        """Until exactly these workers are in the cluster."""
        wanted = sorted(self.network.address(name) for name in names)
        wait_for(lambda: sorted(self.alive()) == wanted, timeout, f"a cluster with {', '.join(names)}", every=3.0)
        self.log(f"workers in the cluster: {', '.join(names)}")

    def nodes(self) -> list[dict[str, Any]]:
        """`ray.nodes()` as the head sees it."""
        done = self.on_head(f"python -c {shlex.quote(STATE)}", timeout=120)
        lines = [line for line in done.said.splitlines() if line.startswith("STATE ")]
        return json.loads(lines[-1].removeprefix("STATE ")) if lines else []

    def alive(self) -> dict[str, str]:
        """{address: node id} of the workers that are up."""
        own = self.network.address(HEAD)
        return {
            node["NodeManagerAddress"]: node["NodeID"]
            for node in self.nodes()
            if node["Alive"] and node["NodeManagerAddress"] != own
        }

    def on_head(self, line: str, timeout: float = 900) -> Done:
        """A line of shell on the head, as who logs in there has it."""
        return self.head.run(["bash", "-lc", f". ~/.palenka.sh; {line}"], timeout=timeout)

    def start_on_head(self, line: str, path: Path) -> subprocess.Popen[bytes]:
        """Start a line of shell on the head; what it says goes to a file."""
        with path.open("ab") as output:
            return self.head.start(["bash", "-lc", f". ~/.palenka.sh; {line}"], output)

    def down(self) -> None:
        """`ray down`; then nothing of Ray may be left on any host."""
        self.ray("down", "-y", self.yaml)
        hosts = [self.head, *self.workers]
        left: dict[str, list[str]] = {}

        def gone() -> bool:
            left.clear()
            left.update({host.name: list(ray_processes(host).values()) for host in hosts if ray_processes(host)})
            return not left

        started = time.monotonic()
        try:
            wait_for(gone, 180, "the end of Ray on every host", every=1.0)
        except AssertionError:
            raise AssertionError(f"ray down left processes: {left}") from None
        self.log(f"no process of Ray is left on any host, {time.monotonic() - started:.0f} s after ray down")


def export(name: str, value: str, into: str = ">>") -> dict[str, str]:
    """A line of the YAML file that sets a variable: how it begins, and what it is to be."""
    return {f"- echo 'export {name}": f"- echo 'export {name}={value}' {into} ~/.palenka.sh"}


def ray_processes(host: Host) -> dict[int, str]:
    """What runs on a host beside sshd and what this test started there itself."""
    mine = ("sshd", "nsenter", "sleep infinity")
    return {pid: line for pid, line in host.processes().items() if not line.startswith(mine)}


def pythonpath() -> str:
    """The checkout under test, then what this process was given."""
    more = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path and Path(path) != REPOSITORY]
    return ":".join([str(REPOSITORY), *more])


@contextlib.contextmanager
def cluster(folder: Path, log_path: Path | None, *, count: int = 3, late: int = 0) -> Iterator[Cluster]:
    """A running cluster of `count` hosts over a shared folder; `late` workers of it are not booted yet."""
    shared = folder / "nfs"
    storage = shared / "runs"
    storage.mkdir(parents=True)
    hide = {str(shared): "/nfs", str(REPOSITORY): "/nfs/palenka_tune", str(VENV): "/nfs/venv"}
    hide |= dict.fromkeys(pythonpath().split(":")[1:], "/nfs/more")
    hide |= {f"{Path.home()}/": "~/", f"{tempfile.gettempdir()}/": "…/"}
    log = Log(log_path, hide)
    paths = [shared, REPOSITORY, VENV, Path(sys.base_prefix), *map(Path, pythonpath().split(":")[1:])]
    laptop = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": pythonpath()}
    laptop |= {"OMP_NUM_THREADS": "1"}
    with Network(folder / "network", paths, count=count, late=late) as network:
        network.laptop.environment |= laptop
        addresses = ", ".join(f"{host.name} {host.address}" for host in network)
        log(f"hosts: {addresses}")
        running = Cluster(network, storage, log, names=[f"host{n}" for n in range(2, count + 1)])
        try:
            running.up()
            yield running
        except BaseException:
            for host in network:
                log(f"left on {host.name}: {[line[:100] for line in host.processes().values()]}")
            raise
