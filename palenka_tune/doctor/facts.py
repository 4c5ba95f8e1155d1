"""What the doctor looks at, as plain data: facts of the address, the nodes, the storage and the services; findings.

Whoever gathers facts (`access`, `nodes`, `services`, `places`, `plan`) judges nothing, and a check judges facts without
asking anybody, so that every check can be tried on facts that nobody has to stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from palenka_tune.doctor.plan import Plan

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """What a check says: `found`, and for a warning or a fault the `fix` in one sentence."""

    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Access:
    """How the driver gets to Ray. `address` None: Ray is started on this machine for the search.

    `refused` says why there is no way in, `by_token` whether that is the token. `open` tells whether a client without
    a token is let in (None: not known).
    """

    address: str | None = None
    refused: str | None = None
    by_token: bool = False
    open: bool | None = None


@dataclass(frozen=True)
class Disk:
    """A folder as a node sees it; sizes in bytes, `error` says why nothing can be written there."""

    path: str
    free: int = 0
    total: int = 0
    error: str | None = None
    kind: str = ""  # of the file system, such as ext4 or nfs4


@dataclass(frozen=True)
class Listener:
    """A port on which a process of this cluster listens."""

    process: str
    address: str
    port: int

    @property
    def beyond_loopback(self) -> bool:
        return not (self.address.startswith("127.") or self.address == "::1")


@dataclass(frozen=True)
class Gpu:
    name: str
    memory: int  # bytes


@dataclass(frozen=True)
class Probe:
    """What a node says of itself.

    `clock` is how many seconds its clock is ahead of the driver's, known to within `clock_error`. `marker` is what it
    read from the driver's file in the storage (None: it found none), `work` the folder where caches lie: the storage,
    or this node's copy of a bucket.
    """

    versions: Mapping[str, str | None] = field(default_factory=dict)
    memory_total: int = 0
    memory_free: int = 0
    gpus: tuple[Gpu, ...] = ()
    gpu_error: str | None = None
    storage: Disk = field(default_factory=lambda: Disk("?"))
    work: Disk = field(default_factory=lambda: Disk("?"))
    marker: str | None = None
    temporary: Disk = field(default_factory=lambda: Disk("?"))
    shared_memory: Disk = field(default_factory=lambda: Disk("/dev/shm"))
    listeners: tuple[Listener, ...] = ()
    clock: float = 0.0
    clock_error: float = 0.0
    kubernetes: bool = False
    autoscaler: tuple[Mapping[str, Any], ...] | None = None  # node types that it may start; None: there is none

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Probe:
        """From what `probe.examine` returned."""
        known = dict(plain)
        for name in ("storage", "work", "temporary", "shared_memory"):
            known[name] = Disk(**known[name])
        known["gpus"] = tuple(Gpu(**gpu) for gpu in known["gpus"])
        known["listeners"] = tuple(Listener(**listener) for listener in known["listeners"])
        known["autoscaler"] = None if known["autoscaler"] is None else tuple(known["autoscaler"])
        return Probe(**known)


@dataclass(frozen=True)
class Node:
    """A node as Ray lists it, and what it says of itself; `silence` is why it said nothing."""

    name: str
    alive: bool = True
    head: bool = False
    cpus: int = 0
    gpus: int = 0
    object_store: int = 0
    died_of: str = ""
    probe: Probe | None = None
    silence: str = ""


@dataclass(frozen=True)
class Service:
    """A database or a server of the search: how it is called in a sentence, and why it cannot be used, if so."""

    name: str
    where: str
    error: str | None = None
    fix: str = ""
    file: str | None = None  # of SQLite


@dataclass(frozen=True)
class Facts:
    """Everything that the checks go by. `nodes` is None while no way into Ray was found; `free` are (CPU cores, GPUs)
    that nobody holds; `here` are the driver's own versions."""

    plan: Plan
    access: Access
    nodes: tuple[Node, ...] | None
    storage: Disk
    marker: str | None
    study: Service
    mlflow: Service
    here: Mapping[str, str | None]
    free: tuple[float, float] | None = None

    @property
    def alive(self) -> tuple[Node, ...]:
        """Nodes that Ray lists as up."""
        return tuple(node for node in self.nodes or () if node.alive)

    @property
    def probes(self) -> dict[str, Probe]:
        """{node: what it says}, of those that answered."""
        return {node.name: node.probe for node in self.alive if node.probe is not None}
