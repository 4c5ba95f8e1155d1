"""Hosts of a real network on this one machine: Linux namespaces with addresses of their own, `sshd` in each.

`Network(folder, shared)` is a context manager that yields hosts `laptop`, `host1`, `host2`, ... Each has its own
network interface, name, processes, /tmp, /run, /dev/shm, /etc/hosts and a disk, /root; the folders of `shared` are what
they have in common, as hosts of a cluster share an NFS. They see each other through a bridge that is in a namespace of
its own, so that nothing outside can reach them and they reach nothing outside. A host is one process and its children:
to kill it is to pull its plug. Needs root, `ip`, `unshare`, `nsenter`, `setpriv`, `sshd` and `rsync`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

SUBNET = "10.77.0"
LAPTOP = "laptop"
TOOLS = ("ip", "unshare", "nsenter", "setpriv", "mount", "ssh", "ssh-keygen", "sshd", "rsync")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc")
KEY_ON_LAPTOP = "/root/.ssh/id_ed25519"

# sh -c: $1 a folder for files, $2 the host's name, $3 its address, the rest the shared folders. Runs as process 1.
SET_UP = r"""
set -eu
files=$1 name=$2 address=$3; shift 3
hostname "$name"
private() {  # a folder of the host's own, but for what is shared in it: empty with a mode, else from its disk
  own=$2
  if [ "$1" = disk ]; then
    mkdir -p "$files/disks/$name$own" && mount -n --bind "$files/disks/$name$own" /mnt
  else mount -n -t tmpfs -o mode="$1" tmpfs /mnt; fi
  shift 2
  for folder in "$@"; do
    case "$folder" in "$own"/*)
      mkdir -p "/mnt/${folder#"$own"/}"
      mount -n --bind "$folder" "/mnt/${folder#"$own"/}";;
    esac
  done
  mount -n --move /mnt "$own"
}
private 1777 /tmp "$files" "$@"
private disk /root "$files" "$@"
private 755 /run
private 1777 /dev/shm
mkdir -p /run/sshd /root/.ssh
chmod 700 /root /root/.ssh
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > /run/hosts   # as Debian has it
mount -n --bind /run/hosts /etc/hosts
: >> /root/.bashrc
cp "$files/key.pub" /root/.ssh/authorized_keys
if [ "$name" = laptop ]; then cp "$files/key" /root/.ssh/id_ed25519; chmod 600 /root/.ssh/id_ed25519; fi
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default dev eth0   # leads nowhere; a host without one is no host to Ray
cp "$files/host_key" /run/host_key
chmod 600 /run/host_key
printf '%s\n' 'HostKey /run/host_key' "ListenAddress $address" 'PidFile none' 'UsePAM no' \
  'PasswordAuthentication no' 'KbdInteractiveAuthentication no' 'MaxStartups 100' 'PrintMotd no' > /run/sshd_config
: > /run/ready
if [ "$name" = laptop ]; then exec sleep infinity; fi
exec "$(command -v sshd)" -D -e -f /run/sshd_config
"""


def unable() -> str:
    """Why there can be no network here; empty if there can be one."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if missing:
        return f"hosts in namespaces need {', '.join(missing)}, not found here"
    if os.geteuid() != 0:
        return "hosts in namespaces need root"
    probe = ["unshare", *NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(probe, capture_output=True, text=True)
    return f"hosts in namespaces need the right to make them ({done.stderr.strip()})" if done.returncode else ""


@dataclass
class Host:
    """One of the hosts; `pid` is its process 1 as it is known outside."""

    name: str
    address: str
    port: str
    process: subprocess.Popen[bytes]
    pid: int
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, argv: Sequence[str], environment: dict[str, str]) -> list[str]:
        """`argv` as it is to be started from outside."""
        variables = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", "USER": "root"}
        variables |= self.environment | environment
        inside = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *argv]
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "--wd=/root", *inside]

    def run(self, argv: Sequence[str] | str, *, timeout: float = 600, **environment: str) -> Done:
        """Run a command, or a line for `bash -c`, on the host to its end."""
        argv = ["bash", "-c", argv] if isinstance(argv, str) else argv
        done = subprocess.run(
            self.command(argv, environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        return Done(shlex.join(argv), done.returncode, done.stdout)

    def start(self, argv: Sequence[str] | str, log: IO[Any], **environment: str) -> subprocess.Popen[bytes]:
        """Start a command on the host; what it says goes to `log`."""
        argv = ["bash", "-c", argv] if isinstance(argv, str) else argv
        return subprocess.Popen(
            self.command(argv, environment), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

    def processes(self, *words: str) -> dict[int, str]:
        """{process id outside: command line} of what runs on the host, with all `words` in it."""
        found = {}
        own = os.stat(f"/proc/{self.pid}/ns/pid").st_ino if self.alive else None
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if own is not None and os.stat(entry / "ns" / "pid").st_ino == own:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if line and all(word in line for word in words):
                        found[int(entry.name)] = line
            except OSError:
                continue
        return found

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Pull the plug: every process of the host dies at once."""
        if self.alive:
            self.process.send_signal(signal.SIGKILL)  # unshare --kill-child takes the host's process 1 with it
            self.process.wait()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    command: str
    code: int
    said: str

    def check(self) -> str:
        """What it said; raises `AssertionError` if it failed."""
        assert self.code == 0, f"{self.command} ended with {self.code}:\n{self.said}"
        return self.said


class Network:
    """A laptop and `count` hosts; `late` of them are only booted by `boot`."""

    def __init__(self, folder: Path, shared: Sequence[Path], *, count: int = 3, late: int = 0, **environment: str):
        self.folder, self.shared, self.count, self.late = folder, [str(path) for path in shared], count, late
        self.environment = environment
        self.hosts: dict[str, Host] = {}
        self._switch: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Network:
        assert not unable(), unable()
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("key", "host_key"):
            if not (self.folder / name).exists():
                argv = [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    "throw-away",
                    "-f",
                    str(self.folder / name),
                ]
                subprocess.run(argv, check=True)
        try:
            switch = self._switch = _unshare(["--net"], ["sleep", "infinity"])
            wait_for(lambda: not _shares_network(switch.pid), 30, "a network of its own")
            self._in_switch("ip link add br0 type bridge", "ip link set br0 up")
            self.boot(LAPTOP)
            for number in range(1, 1 + self.count - self.late):
                self.boot(f"host{number}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for host in self.hosts.values():
            host.kill()
        if self._switch is not None:
            self._switch.kill()
            self._switch.wait()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def laptop(self) -> Host:
        return self.hosts[LAPTOP]

    def address(self, name: str) -> str:
        """A host's address, booted or not."""
        return f"{SUBNET}.{254 if name == LAPTOP else int(name.removeprefix('host'))}"

    def boot(self, name: str) -> Host:
        """Start a host that does not run: of one that ran before its disk is left, which is /root."""
        known = self.hosts.get(name)
        assert known is None or not known.alive, f"{name} runs already"
        files, address = self.folder, self.address(name)
        port = f"port{address.rsplit('.', 1)[-1]}"
        inside = ["sh", "-c", SET_UP, "sh", str(files), name, address, *self.shared]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = _unshare(NAMESPACES, inside, log)
        wait_for(lambda: process.poll() is not None or _child(process.pid), 30, f"the start of {name}")
        assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        pid = _child(process.pid)
        assert pid is not None
        wait_for(lambda: not _shares_network(pid), 30, "a network of its own")
        if known is not None:  # the old end of the cable goes with the old host, a moment later than its processes
            wait_for(lambda: not self._has(port), 30, f"the end of the old {name}")
        self._in_switch(
            # a network card keeps its hardware address when its host starts again
            f"ip link add {port} type veth peer name eth0 address 02:00:0a:4d:00:{int(port[4:]):02x} netns {pid}",
            f"ip link set {port} master br0 up",
        )
        wait_for(lambda: process.poll() is not None or Path(f"/proc/{pid}/root/run/ready").exists(), 60, f"{name}")
        assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        self.hosts[name] = Host(name, address, port, process, pid, dict(self.environment))
        return self.hosts[name]

    def cut(self, name: str) -> None:
        """Pull the network cable of a host; it runs on."""
        self._in_switch(f"ip link set {self.hosts[name].port} down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        self._in_switch(f"ip link set {self.hosts[name].port} up")

    def _has(self, port: str) -> bool:
        return subprocess.run([*self._enter(), "ip", "link", "show", port], capture_output=True).returncode == 0

    def _enter(self) -> list[str]:
        assert self._switch is not None
        assert not _shares_network(self._switch.pid)  # nothing is ever done to this machine's own network
        return ["nsenter", "-t", str(self._switch.pid), "-n"]

    def _in_switch(self, *lines: str) -> None:
        for line in lines:
            done = subprocess.run([*self._enter(), *line.split()], capture_output=True, text=True)
            assert done.returncode == 0, f"{line}: {done.stderr.strip()}"

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())


def _unshare(flags: Sequence[str], inside: Sequence[str], log: IO[Any] | None = None) -> subprocess.Popen[bytes]:
    """A process in namespaces of its own, that dies with this one."""
    kill = ["--kill-child=KILL"] if "--fork" in flags else []
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", *flags, *kill, *inside],
        stdin=subprocess.DEVNULL,
        stdout=log or subprocess.DEVNULL,
        stderr=log or subprocess.DEVNULL,
        env={"PATH": PATH},
        start_new_session=True,
    )


def _shares_network(pid: int) -> bool:
    """Whether a process is in this machine's own network still."""
    return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")


def _child(pid: int) -> int | None:
    """The one child of a process, once there is one."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def wait_for(condition: Callable[[], Any], timeout: float, what: str, every: float = 0.1) -> Any:
    """Wait until `condition` is true and return its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {timeout:g} s"
        time.sleep(every)
    return value
