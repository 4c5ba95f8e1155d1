"""One Ray session per command: attached by address or started here, and always shut down.

Ray is imported only inside the functions, so that a mistake in the input is refused before any Ray process exists.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from palenka_tune.errors import PalenkaError, UserError


@dataclass(frozen=True)
class Resources:
    """What a cluster offers: (CPU cores, GPUs) of each node that is up."""

    nodes: tuple[tuple[int, int], ...]

    @property
    def cpus(self) -> int:
        return sum(cpus for cpus, _ in self.nodes)

    @property
    def gpus(self) -> int:
        return sum(gpus for _, gpus in self.nodes)


def protect(address: str | None) -> None:
    """Before Ray is imported: let only processes that hold a fresh token use the Ray that is started here.

    Ray listens on every interface of the machine, whatever address it is given. A cluster at `address` has rules of its
    own, a user's RAY_AUTH_MODE wins, and where Ray is imported already it has read its settings and keeps them.
    """
    if not address and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextlib.contextmanager
def ray_session(address: str | None = None, *, cpus: int | None = None) -> Iterator[Resources]:
    """Yield the cluster's resources; `address` None starts Ray here, with `cpus` cores (all by default)."""
    protect(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves a trial beside anything else that runs
    # the search has its own display
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    import ray

    if ray.is_initialized():
        yield _resources()
        return
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(
                address="local",
                num_cpus=cpus or available_cpus(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
            )
    except (ConnectionError, ValueError, OSError) as error:
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        reason = str(error).splitlines()[0]
        raise PalenkaError(f"cannot reach {where} ({reason}); check --address, or leave it out") from None
    try:
        yield _resources()
    finally:
        # what still refers to Ray from within a cycle goes now: collected later, by whatever thread, it would end the
        # process without a word
        gc.collect()
        ray.shutdown()


def _resources() -> Resources:
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Resources(tuple((int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in alive))


def available_cpus() -> int:
    """Cores that this process may use (its affinity), not all that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
