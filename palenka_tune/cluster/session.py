"""One Ray session per command: attached by address or started here, and always shut down.

Ray is imported only inside the functions, so that a mistake in the input is refused before any Ray process exists.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from palenka_tune.cluster.machine import available_cpus
from palenka_tune.errors import PalenkaError, UserError, first_line

logger = logging.getLogger(__name__)
LONGEST = 38  # characters of a folder; with the names of Ray's sockets in it they are 107, the most of a socket's path
STARTS = 3  # tries to start Ray on this machine
OTHER_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


@dataclass(frozen=True)
class Resources:
    """What a cluster offers: (CPU cores, GPUs) of each node that is up. Without `ray` it is this process alone."""

    nodes: tuple[tuple[int, int], ...]
    ray: bool = True

    @property
    def cpus(self) -> int:
        return sum(cpus for cpus, _ in self.nodes)

    @property
    def gpus(self) -> int:
        return sum(gpus for _, gpus in self.nodes)


def protect(address: str | None) -> None:
    """Before Ray is imported: the Ray that is started here listens on loopback only, only processes that hold a fresh
    token may use it, and its folder is one that it can use; raises `UserError` if there is none.

    A cluster at `address` has rules of its own, a user's RAY_AUTH_MODE wins, and where Ray is imported already it has
    read its settings and keeps them (but it asks for its folder each time).
    """
    if address:
        return
    _choose_folder()
    if "ray" in sys.modules:
        return
    # by the name of the systems on which Ray does this by default: its own address is 127.0.0.1, and it listens there
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _choose_folder() -> None:
    """Point RAY_TMPDIR to a folder that Ray can use if the one that it would use is not."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    given = os.environ[name] if name else OTHER_FOLDERS[0]
    fault = _fault_of(given)
    if fault is None:
        return
    other = next((folder for folder in OTHER_FOLDERS if _fault_of(folder) is None), None)
    if other is None:
        raise UserError(
            f"Ray cannot use {name or 'its own folder'} ({fault}), nor {', '.join(OTHER_FOLDERS)}; set RAY_TMPDIR to a "
            f"folder that you may write to, of at most {LONGEST} ASCII characters"
        )
    logger.warning(f"Ray's files go into {other}/ray, since it cannot use {name or 'its own folder'} ({fault})")
    os.environ["RAY_TMPDIR"] = other


def _fault_of(folder: str) -> str | None:
    """Why Ray cannot have its sockets in `folder`, or None if it can."""
    if len(folder) > LONGEST:
        return f"{folder!r} has {len(folder)} characters, and sockets in it have room for {LONGEST}"
    if not re.fullmatch(r"/[A-Za-z0-9/._+,@=-]*", folder):
        return f"{folder!r} is no absolute path in ASCII without spaces"
    ray = os.path.join(folder, "ray")
    where = ray if os.path.isdir(ray) else folder
    if not (os.path.isdir(where) and os.access(where, os.W_OK | os.X_OK)):
        return f"{where} is not a folder that you may write to"
    return None


@contextlib.contextmanager
def ray_session(address: str | None = None, *, cpus: int | None = None) -> Iterator[Resources]:
    """Yield the cluster's resources; `address` None starts Ray here, with `cpus` cores (all by default)."""
    protect(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves a trial beside anything else that runs
    # OpenMP threads wait for each other in a busy loop: beside any other load a trial of two then stands still
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch asks for pages of 2 MB, where the system gives them to those who ask
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # the search has its own display
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    import ray

    if ray.is_initialized():
        yield resources_now()
        return
    if not address and (named := os.environ.get("RAY_ADDRESS")):  # what ray.init would follow
        logger.info(f"Ray starts on this machine, although RAY_ADDRESS is {named}; --address {named} uses that cluster")
    terminate = signal.getsignal(signal.SIGTERM)
    if address:
        _attach(address)
    else:
        _start(cpus or available_cpus())
    if threading.current_thread() is threading.main_thread() and terminate is not None:
        signal.signal(signal.SIGTERM, terminate)  # Ray takes it, and would end the process without a word
    try:
        yield resources_now()
    finally:
        # cycles that refer to Ray are collected now: collected later, in any thread, they would end the process
        # without a word
        gc.collect()
        ray.shutdown()


def _attach(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, OSError) as error:
        raise PalenkaError(
            f"cannot reach the Ray cluster at {address} ({first_line(error)}); check --address, or leave it out"
        ) from None


def _start(cpus: int) -> None:
    """Start Ray on this machine. Ray gives its daemon 30 s; on a busy machine that is too little, so it is tried
    again."""
    import psutil
    import ray

    for attempt in range(1, STARTS + 1):
        before = psutil.Process().children()
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            return
        except Exception as error:  # a start that takes too long is a plain Exception
            for process in set(psutil.Process().children()) - set(before):  # nobody else ends what has started
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if "timed out" not in str(error) or attempt == STARTS:
                raise PalenkaError(
                    f"Ray does not start on this machine ({first_line(error)}); see python -m palenka_tune.doctor"
                ) from None
            logger.warning(f"Ray did not start within 30 s, as on a busy machine: try {attempt + 1} of {STARTS}")


def resources_now() -> Resources:
    """What the nodes of the open session offer that are up at this moment."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Resources(tuple((int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in alive))


def node_is_gone(node_id: str) -> bool:
    """Whether a node of the cluster is dead, cut off or reclaimed.

    Ray learns of a machine that vanished only when its health checks have failed for a minute, but of its processes at
    once; so the node is asked too: even a busy one accepts a connection.
    """
    import ray

    for node in ray.nodes():
        if node["NodeID"] == node_id and node["Alive"]:
            try:
                with socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=5.0):
                    return False
            except OSError:
                return True
    return True


def own_node_is_up() -> Callable[[], bool]:
    """A function that tells whether Ray's daemon on this machine still answers; call this while it does."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    (node,) = [node for node in ray.nodes() if node["NodeID"] == own]
    address = (node["NodeManagerAddress"], node["NodeManagerPort"])

    def is_up() -> bool:
        try:
            with socket.create_connection(address, timeout=5.0):
                return True
        except ConnectionError:
            return False
        except OSError:  # too busy to answer
            return True

    return is_up


def resolve_device(device: str = "auto") -> str:
    """`cpu` or `cuda`; `auto` is a GPU if there is one, and `cuda` without one is refused."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda was asked for, but this machine has no CUDA GPU; use --device cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def check_gpus(gpus: float | None, address: str | None) -> None:
    """Refuse GPUs that this machine has not; a cluster at `address` is asked once it is attached."""
    if gpus is None:
        return
    if not 0 <= gpus <= 1:
        raise UserError(f"--gpus-per-trial is {gpus:g}; a student trains on one GPU or a share of it: give 0 to 1")
    if gpus and not address:
        import torch

        if not torch.cuda.is_available():
            raise UserError(
                f"--gpus-per-trial {gpus:g} was asked for, but this machine has no CUDA GPU; "
                "leave it out to train on CPU cores"
            )
