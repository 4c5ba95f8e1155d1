"""What runs on each node and reports as plain data; the fields are those of `facts.Probe`.

It is sent to the node by value, `cluster.machine` with it, and imports the standard library alone, so that it runs on
a node whose packages are missing or of other versions, which is what it must find; inside its functions also psutil and
yaml, which Ray brings along, and pyarrow, whose absence is an error of the storage. A part that fails says so in its
own field.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, TypeVar

from palenka_tune.cluster.machine import free_memory

PACKAGES = ("ray", "torch", "transformers", "tokenizers", "optuna", "mlflow", "pyarrow")
OURS = "palenka_tune"
GPU_SECONDS = 10.0
STORE_SECONDS = 12.0
T = TypeVar("T")


class Prober:
    """The actor on a node; `clock` answers at once when its process is up."""

    def examine(self, storage: str, work: str, marker: str) -> dict[str, Any]:
        """Everything but the clock."""
        return examine(storage, work, marker)

    def clock(self) -> float:
        """Seconds since 1970 by this node's clock."""
        return time.time()


def within(seconds: float, action: Callable[[], T]) -> T:
    """What `action` returns or raises; `TimeoutError` if it takes longer, and its thread is left behind. For database
    drivers and clients of object stores, which may hang for minutes."""
    future: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not futures.wait([future], seconds).done:
        raise TimeoutError(f"it does not answer within {seconds:.0f} s")
    return future.result()


def examine(storage: str, work: str, marker: str) -> dict[str, Any]:
    """Measure this node. `storage` is the folder or bucket that all nodes should share, `marker` the file that the
    driver left in it, `work` the folder in which a node keeps its copy of a bucket."""
    import psutil

    processes = {process.pid: process.info["cmdline"] or [""] for process in psutil.process_iter(["cmdline"])}
    raylet = os.getppid()
    session = _option(processes.get(raylet, []), "session_dir")
    gpus, gpu_error = _gpus()
    if "://" in storage:
        with contextlib.suppress(OSError):  # the copy is made when it is needed
            os.makedirs(work, mode=0o700, exist_ok=True)
    shared, mark = (_bucket if "://" in storage else _folder)(storage, marker)
    return {
        "versions": versions(),
        "memory_free": free_memory(),
        "gpus": gpus,
        "gpu_error": gpu_error,
        "storage": shared,
        "work": _writable(work),
        "marker": mark,
        "temporary": _disk(session or tempfile.gettempdir()),
        "shared_memory": _disk("/dev/shm")["total"],
        "listeners": _listeners(processes, session, raylet),
        "kubernetes": "KUBERNETES_SERVICE_HOST" in os.environ,
        "autoscaler": _autoscaler(processes, session),
    }


def versions() -> dict[str, str | None]:
    """{package: version}, None where it is missing; our own with a digest of its code, which a version hides."""
    found: dict[str, str | None] = {"python": platform.python_version(), OURS: _our_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _our_version() -> str | None:
    spec = importlib.util.find_spec(OURS)
    if spec is None or not spec.origin:
        return None
    stated = re.search(r"^__version__ *= *[\"'](.*)[\"']", Path(spec.origin).read_text(encoding="utf-8"), re.MULTILINE)
    digest = hashlib.sha256()
    folder = Path(spec.origin).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{stated[1] if stated else '?'} (code {digest.hexdigest()[:8]})"


def _gpus() -> tuple[list[int], str | None]:
    """The GPUs' memory in bytes by NVIDIA's tool, and why there are none if that failed."""
    if shutil.which("nvidia-smi") is None:
        return [], "there is no nvidia-smi"
    argv = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]  # in MiB
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=GPU_SECONDS)
    except subprocess.TimeoutExpired:
        return [], f"nvidia-smi does not answer within {GPU_SECONDS:.0f} s"
    if done.returncode:
        return [], (done.stdout + done.stderr).strip().partition("\n")[0] or f"nvidia-smi ends {done.returncode}"
    return [int(float(size) * 2**20) for size in done.stdout.split()], None


def _disk(path: str) -> dict[str, Any]:
    """A folder, or the nearest one above it that exists."""
    error = None
    if not os.path.isdir(path):
        error = "the folder does not exist" if not os.path.exists(path) else "it is not a folder"
    usage = shutil.disk_usage(nearest_folder(Path(path)))
    return {"path": path, "free": usage.free, "total": usage.total, "error": error}


def nearest_folder(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _writable(path: str) -> dict[str, Any]:
    """A folder in which a file is written, and removed."""
    disk = _disk(path)
    if disk["error"] is None:
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(bytes(4096))
        except OSError as problem:
            disk["error"] = problem.strerror or str(problem)
    return disk


def _folder(storage: str, marker: str) -> tuple[dict[str, Any], str | None]:
    """The folder, and what the driver's file in it says."""
    mark = None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        mark = Path(storage, marker).read_text(encoding="utf-8")
    return _writable(storage), mark


def _bucket(storage: str, marker: str) -> tuple[dict[str, Any], str | None]:
    """The same of a bucket, in which a file of this node's own is written, and removed."""
    marks: list[str] = []
    error = None

    def ask() -> None:
        from pyarrow import fs

        files, base = fs.FileSystem.from_uri(storage)
        path = f"{base.rstrip('/')}/{marker}"
        with files.open_input_stream(path) as stream:
            marks.append(bytes(stream.read()).decode())
        own = f"{path}-{os.getpid()}-{socket.gethostname()}"
        with files.open_output_stream(own) as stream:
            stream.write(b"doctor")
        files.delete_file(own)

    try:
        within(STORE_SECONDS, ask)
    except Exception as problem:  # of a store, its client, or a pyarrow that is missing
        error = str(problem).strip().partition("\n")[0] or type(problem).__name__
    return {"path": storage, "error": error}, marks[0] if marks else None


def _option(argv: list[str], name: str) -> str | None:
    """The value of `--name=value`."""
    return next((word.partition("=")[2] for word in argv if word.startswith(f"--{name}=")), None)


def _autoscaler(processes: dict[int, list[str]], session: str | None) -> dict[str, int] | None:
    """{node type: most nodes} of the autoscaler on this node; None if none runs here with a configuration."""
    for argv in processes.values():
        text = " ".join(argv)
        path = _option(argv, "autoscaling-config")
        if path is None or "monitor" not in text or (session and session not in text):
            continue
        try:
            import yaml

            types = yaml.safe_load(Path(path).read_text(encoding="utf-8"))["available_node_types"]
            return {name: int(kind.get("max_workers", 0)) for name, kind in types.items()}
        except Exception:  # another version may have written anything
            return {}
    return None


def _listeners(processes: dict[int, list[str]], session: str | None, raylet: int) -> list[dict[str, Any]]:
    """Where Ray's daemons of this node listen: its raylet, and the head's services of the same session."""
    import psutil

    found = []
    for pid, argv in processes.items():
        name = "raylet" if pid == raylet else _service(argv, session)
        if name is not None:
            with contextlib.suppress(psutil.Error):
                for each in psutil.Process(pid).net_connections("tcp"):
                    if each.status == psutil.CONN_LISTEN:
                        address = each.laddr.ip.removeprefix("::ffff:")  # of an IPv4 address on an IPv6 socket
                        found.append({"process": name, "address": address, "port": each.laddr.port})
    return sorted(found, key=lambda each: (each["process"], each["port"]))


def _service(argv: list[str], session: str | None) -> str | None:
    """The name of the head's service that a process is, if it is one."""
    of_session = session is not None and session in " ".join(argv)
    if of_session and argv[0].endswith("gcs_server"):
        return "gcs_server"
    if of_session and any(word.endswith("dashboard/dashboard.py") for word in argv):
        return "dashboard"
    return "dashboard" if argv[0].startswith("ray::DashboardHead") else None
