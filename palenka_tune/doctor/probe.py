"""What runs on each node: it looks around and says what it sees, as plain data.

It is sent to the node by value and imports the standard library alone, so that it runs on a node whose packages are
other ones, or missing: that is what it is to find. Each part that can fail says so in its own place.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "transformers", "tokenizers", "optuna", "mlflow", "pyarrow")
OURS = "palenka_tune"
GPU_SECONDS = 10.0
STORE_SECONDS = 12.0


class Prober:
    """The actor on a node; `clock` answers at once, once the process is there."""

    def examine(self, storage: str, work: str, marker: str) -> dict[str, Any]:
        """Everything but the clock; the fields are those of `facts.Probe`."""
        return examine(storage, work, marker)

    def clock(self) -> float:
        """Seconds since 1970 by this node's clock."""
        return time.time()


def examine(storage: str, work: str, marker: str) -> dict[str, Any]:
    """Look around; `storage` is the folder or the bucket that all nodes should share, `marker` the file that the driver
    left in it, `work` the folder in which a node keeps what it needs of it."""
    processes = dict(_processes())
    raylet = processes.get(os.getppid(), [])
    session = _option(raylet, "session_dir") or _option(raylet, "session-dir") or _session(raylet)
    total, free = _memory()
    gpus, gpu_error = _gpus()
    if "://" in storage:
        with contextlib.suppress(OSError):  # the copy is made when it is needed
            os.makedirs(work, mode=0o700, exist_ok=True)
        shared, mark = _bucket(storage, work, marker)
    else:
        shared, mark = _folder(storage, marker)
    return {
        "versions": versions(),
        "memory_total": total,
        "memory_free": free,
        "gpus": gpus,
        "gpu_error": gpu_error,
        "storage": shared,
        "work": _disk(work, try_it=True),
        "marker": mark,
        "temporary": _disk(session or tempfile.gettempdir()),
        "shared_memory": _disk("/dev/shm" if sys.platform == "linux" else tempfile.gettempdir()),
        "listeners": _listeners(processes, os.path.basename(session) if session else None, os.getppid()),
        "kubernetes": "KUBERNETES_SERVICE_HOST" in os.environ,
        "autoscaler": _autoscaler(processes, session),
    }


def versions() -> dict[str, str | None]:
    """{package: version}, None where it is missing; our own with a digest of its code, which a version hides."""
    found: dict[str, str | None] = {"python": platform.python_version(), OURS: _own_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _own_version() -> str | None:
    spec = importlib.util.find_spec(OURS)
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent
    known = "?"
    for line in Path(spec.origin).read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            known = line.partition("=")[2].strip().strip("\"'")
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{known} (code {digest.hexdigest()[:8]})"


def _memory() -> tuple[int, int]:
    """Bytes of main memory, all and what is free for a new process; those of the container, if it has fewer. What is
    free is told by Linux alone, and nothing by Windows (0)."""
    total = free = 0
    with contextlib.suppress(AttributeError, OSError, ValueError):
        total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        known = {name: 1024 * int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        total, free = known["MemTotal"], known["MemAvailable"]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            most = int(Path(limit).read_text())
            if most < total:
                total, free = most, min(free, most - int(Path(used).read_text()))
    return total, max(0, free)


def _gpus() -> tuple[list[dict[str, Any]], str | None]:
    """The GPUs by NVIDIA's tool, and why there are none if that failed."""
    if shutil.which("nvidia-smi") is None:
        return [], "there is no nvidia-smi"
    argv = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=GPU_SECONDS)
    except subprocess.TimeoutExpired:
        return [], f"nvidia-smi does not answer within {GPU_SECONDS:.0f} s"
    if done.returncode:
        return [], (done.stdout + done.stderr).strip().partition("\n")[0] or f"nvidia-smi ends {done.returncode}"
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [{"name": name, "memory": int(float(size) * 2**20)} for name, size in rows], None


def _disk(path: str, *, try_it: bool = False) -> dict[str, Any]:
    """A folder, or the nearest one above it that exists; with `try_it` a file is written there, and removed."""
    error = None
    if not os.path.isdir(path):
        error = "the folder does not exist" if not os.path.exists(path) else "it is not a folder"
    elif try_it:
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(bytes(4096))
        except OSError as problem:
            error = problem.strerror or str(problem)
    there = Path(path)
    while not there.is_dir() and there != there.parent:
        there = there.parent
    usage = shutil.disk_usage(there)
    return {"path": path, "free": usage.free, "total": usage.total, "error": error, "kind": file_system(there)}


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, as Linux calls it ("" elsewhere)."""
    best, kind = "", ""
    with contextlib.suppress(OSError):
        real = str(path.resolve())
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, point, this, *_ = line.split()
            point = point.replace("\\040", " ")
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, this
    return kind


def _folder(storage: str, marker: str) -> tuple[dict[str, Any], str | None]:
    """The folder, and what the driver's file in it says."""
    mark = None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        mark = (Path(storage) / marker).read_text(encoding="utf-8")
    return _disk(storage, try_it=True), mark


def _bucket(storage: str, work: str, marker: str) -> tuple[dict[str, Any], str | None]:
    """The same of a bucket, into which a file of this node's own is put, and removed."""
    found: dict[str, str] = {}

    def ask() -> None:
        try:
            from pyarrow import fs

            files, base = fs.FileSystem.from_uri(storage)
            with files.open_input_stream(f"{base.rstrip('/')}/{marker}") as stream:
                found["mark"] = bytes(stream.read()).decode()
            own = f"{base.rstrip('/')}/{marker}-{os.getpid()}-{socket.gethostname()}"
            with files.open_output_stream(own) as stream:
                stream.write(b"doctor")
            files.delete_file(own)
            found["done"] = "yes"
        except Exception as error:  # of a store, its client, or a pyarrow that is missing
            found["error"] = str(error).strip().partition("\n")[0] or type(error).__name__

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(STORE_SECONDS)
    late = None if "done" in found else f"it does not answer within {STORE_SECONDS:.0f} s"
    disk = {**_disk(work), "path": storage, "error": found.get("error", late), "kind": "object store"}
    return disk, found.get("mark")


def _processes() -> Iterator[tuple[int, list[str]]]:
    """(id, command line) of the processes that we may look at."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")


def _option(argv: list[str], name: str) -> str | None:
    for word in argv:
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


def _session(raylet: list[str]) -> str | None:
    """The folder of the Ray session, from the socket of the raylet in it."""
    socket_path = _option(raylet, "raylet_socket_name")
    return str(Path(socket_path).parent.parent) if socket_path else None


def _autoscaler(processes: dict[int, list[str]], session: str | None) -> list[dict[str, Any]] | None:
    """The node types that the autoscaler on this node may start; None if none runs here with a configuration."""
    for argv in processes.values():
        text = " ".join(argv)
        path = _option(argv, "autoscaling-config")
        if path is None or "monitor" not in text or (session and session not in text):
            continue
        try:
            import yaml  # Ray needs it, so it is here

            types = yaml.safe_load(Path(path).read_text(encoding="utf-8"))["available_node_types"]
            return [
                {"name": name, "most": int(kind.get("max_workers", 0)), "resources": dict(kind.get("resources", {}))}
                for name, kind in types.items()
            ]
        except Exception:  # whatever another version wrote there
            return []
    return None


def _listeners(processes: dict[int, list[str]], session: str | None, raylet: int) -> list[dict[str, Any]]:
    """Where Ray's daemons of this node listen: its raylet, and the head's services of the same session."""
    sockets = _listening()
    found = []
    for pid, argv in processes.items():
        text = " ".join(argv)
        name = "raylet" if pid == raylet else None
        if session and session in text:
            if argv[0].endswith("gcs_server"):
                name = "gcs_server"
            elif any(word.endswith("dashboard/dashboard.py") for word in argv):
                name = "dashboard"
        if name is None and argv[0].startswith("ray::DashboardHead"):
            name = "dashboard"
        if name is None:
            continue
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inode = os.readlink(handle).removeprefix("socket:[").removesuffix("]")
                    if inode in sockets:
                        address, port = sockets[inode]
                        found.append({"process": name, "address": address, "port": port})
    return sorted(found, key=lambda each: (each["process"], each["port"]))


def _listening() -> dict[str, tuple[str, int]]:
    """{inode: (address, port)} of all TCP sockets that listen."""
    found = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A":
                    address, _, port = words[1].partition(":")
                    found[words[9]] = (_address(address), int(port, 16))
    return found


def _address(text: str) -> str:
    """An address as /proc writes it: 32-bit words in the machine's own order."""
    words = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    if len(words) == 4:
        return socket.inet_ntop(socket.AF_INET, words)
    if words[:12] == bytes(10) + b"\xff\xff":  # an IPv4 address in IPv6's clothes
        return socket.inet_ntop(socket.AF_INET, words[12:])
    return socket.inet_ntop(socket.AF_INET6, words)
