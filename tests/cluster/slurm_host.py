"""A SLURM cluster on this machine, from Debian's packages: real munged, slurmctld and slurmd, gone when it is left.

Each host has namespaces of its own: a network with a loopback and one cable to the other host, host name, mounts (its
own disk at `disk/`) and processes. So nothing listens on this machine's network, `ray stop` in a job reaches nothing
outside, and the end of a host's first process ends everything on it. It takes root, and `FileNotFoundError` or
`PermissionError` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol", "nsenter", "unshare", "ip")
PACKAGES = "slurm-wlm, munge, util-linux, iproute2"
NETWORK = "192.0.2"  # for documentation (RFC 5737): nobody's
CPUS, MEMORY = 2, 8000  # of a host, as SLURM is told; in MiB

CONFIG = """\
ClusterName=palenka
SlurmctldHost=node1({network}.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=15
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1500
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
MinJobAge=86400
UnkillableStepTimeout=120
{nodes}
PartitionName=batch Nodes=ALL Default=YES PriorityTier=1 GraceTime=120 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP
"""
# what a host does first: its name, its disk, its loopback; then it waits, and collects the processes left to it
FIRST = """\
set -e
hostname "$1"
mount --bind "$2/disk-$1" "$2/disk"
mount --bind "$2/hosts" /etc/hosts
ip link set lo up
touch "$2/ready-$1"
while true; do sleep 3600; done
"""


@dataclass
class Host:
    """A host of the cluster; `pid` is its first process as this machine sees it."""

    name: str
    pid: int
    environment: Mapping[str, str]

    def command(self, argv: Sequence[str], folder: Path = Path("/")) -> list[str]:
        """The command that runs `argv` on the host, in `folder`."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--net", "--pid", f"--wd={folder}", *argv]

    def run(self, *argv: str, env: Mapping[str, str] | None = None, folder: Path = Path("/")) -> str:
        """Run a command on the host and return what it says; raises `AssertionError` with that if it fails."""
        command, environment = self.command(argv, folder), {**self.environment, **(env or {})}
        done = subprocess.run(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, timeout=180
        )
        assert done.returncode == 0, f"{' '.join(argv)} on {self.name} ended with {done.returncode}: {done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def started(self, *argv: str) -> Iterator[None]:
        """A command that runs on the host until the block is left, and ends when its standard input does."""
        with subprocess.Popen(self.command(argv), env=self.environment, stdin=subprocess.PIPE):
            yield

    def processes(self, *words: str) -> list[str]:
        """Command lines of what runs on the host, with all `words` in them."""
        lines = self.run("ps", "-eo", "pid=,args=", "-ww").splitlines()
        return [line.strip() for line in lines if all(word in line for word in words)]


@dataclass
class Slurm:
    """A running cluster; jobs are submitted on its first host, from `folder/submit`."""

    folder: Path
    hosts: list[Host]

    @property
    def submit_folder(self) -> Path:
        return self.folder / "submit"

    @property
    def disk(self) -> Path:
        """The folder that lies on each host's own disk."""
        return self.folder / "disk"

    def sbatch(self, script: Path, *options: str, env: Mapping[str, str] | None = None) -> str:
        """Submit a job and return its id."""
        return (
            self.hosts[0].run("sbatch", "--parsable", *options, str(script), env=env, folder=self.submit_folder).strip()
        )

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says of a job."""
        words = self.hosts[0].run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, number: str, *states: str, timeout: float = 600) -> dict[str, str]:
        """Wait until a job is in one of `states`, which are by default those of a job that has ended."""
        states = states or ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")
        deadline = time.monotonic() + timeout
        while (job := self.job(number))["JobState"] not in states:
            assert time.monotonic() < deadline, f"job {number} is {job['JobState']} ({job['Reason']}), not {states}"
            time.sleep(1.0)
        return job


def missing() -> str | None:
    """Why this machine cannot run the cluster, or None."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: {PACKAGES})"
    if os.getuid() != 0:
        return "it takes root to make hosts of namespaces"
    return None


@contextlib.contextmanager
def slurm(folder: Path, hosts: int = 1) -> Iterator[Slurm]:
    """A cluster with 1 or 2 hosts whose files lie in `folder`, which must have a short path (Ray's sockets)."""
    assert hosts in (1, 2)
    reason = missing()
    if reason:
        raise FileNotFoundError(reason) if "installed" in reason else PermissionError(reason)
    names = [f"node{n + 1}" for n in range(hosts)]
    _write_files(folder, names)
    environment = {"PATH": _path(), "HOME": str(folder), "LANG": "C.UTF-8", "SLURM_CONF": str(folder / "slurm.conf")}
    outer: list[subprocess.Popen[bytes]] = []
    try:
        made = []
        for name in names:
            own = ["--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
            outer.append(subprocess.Popen(["unshare", *own, "bash", "-c", FIRST, "bash", name, str(folder)]))
            _wait(lambda name=name: (folder / f"ready-{name}").exists(), f"the host {name}")
            children = Path(f"/proc/{outer[-1].pid}/task/{outer[-1].pid}/children").read_text()
            made.append(Host(name, int(children), environment))
        _connect(made)
        made[0].run("munged", *(f"--{key}-file={folder / f'munge.{key}'}" for key in ("key", "pid", "log", "seed")),
                    f"--socket={folder / 'munge.socket'}", "--force")  # fmt: skip
        made[0].run("slurmctld")
        for host in made:
            host.run("slurmd")
        cluster = Slurm(folder, made)
        _wait(lambda: made[0].run("sinfo", "-h", "-N", "-p", "batch", "-o", "%t").split() == ["idle"] * hosts, "SLURM")
        yield cluster
    finally:
        for process in outer:
            process.kill()  # its first process goes with it, and with that all others of the host
        for process in outer:
            process.wait()


def _write_files(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged refuses a folder that others may write to
    for name in ("submit", "state", "disk", *(f"{kind}-{name}" for name in names for kind in ("disk", "spool"))):
        (folder / name).mkdir()
    nodes = "\n".join(
        f"NodeName={name} NodeAddr={NETWORK}.{n + 1} CPUs={CPUS} RealMemory={MEMORY} State=UNKNOWN"
        for n, name in enumerate(names)
    )
    (folder / "slurm.conf").write_text(CONFIG.format(network=NETWORK, folder=folder, nodes=nodes))
    (folder / "hosts").write_text(
        "127.0.0.1 localhost\n" + "".join(f"{NETWORK}.{n + 1} {name}\n" for n, name in enumerate(names))
    )
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))


def _connect(hosts: Sequence[Host]) -> None:
    """A cable with an address of its own for each host; that of a single host leads to nowhere."""
    end = ["cable", "netns", str(hosts[1].pid)] if len(hosts) > 1 else ["loose"]
    # from outside its process namespace, in which the other host has no number
    first = ["nsenter", f"--target={hosts[0].pid}", "--net", "ip", "link", "add", "cable", "type", "veth"]
    subprocess.run([*first, "peer", "name", *end], check=True)
    for n, host in enumerate(hosts):
        host.run("ip", "address", "add", f"{NETWORK}.{n + 1}/24", "dev", "cable")
        host.run("ip", "link", "set", "cable", "up")


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def _wait(condition: Any, what: str, timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come up in {timeout:g} s"
        time.sleep(0.2)
