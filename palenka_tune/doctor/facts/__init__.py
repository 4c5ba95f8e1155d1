"""What the doctor measures, as plain data; the modules beside this one fill it.

Measuring judges nothing and a check (`doctor.checks`) measures nothing, so that every check can be tested on facts that
no machine has to be brought into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palenka_tune.doctor.facts.needs import Needs

Versions = dict[str, str | None]
"""{package: version}, None for a missing one."""


@dataclass(frozen=True)
class Access:
    """Whether Ray lets the driver in. `address` None: Ray is started on this machine for the search.

    `refused` is why the driver is not let in, `by_token` whether the token is the reason. `open`: a client without a
    token is let in (None: unknown).
    """

    address: str | None = None
    refused: str | None = None
    by_token: bool = False
    open: bool | None = None


@dataclass(frozen=True)
class Disk:
    """A folder as one machine sees it: sizes in bytes of its disk, `error` if it cannot be written to."""

    path: str
    free: int = 0
    total: int = 0
    error: str | None = None
    kind: str = ""
    """The file system, such as ext4 or nfs4; known for the driver's storage only."""


@dataclass(frozen=True)
class Listener:
    """A port on which a process of the Ray cluster listens."""

    process: str
    address: str
    port: int

    @property
    def beyond_loopback(self) -> bool:
        return not (self.address.startswith("127.") or self.address == "::1")


@dataclass(frozen=True)
class Probe:
    """What a node reports; sizes in bytes.

    `clock` is how many seconds the node's clock is ahead of the driver's, known to within `clock_error`. `work` is the
    folder for caches: the storage, or this node's copy of a bucket. `marker` is the content of the driver's file in the
    storage (None: not found). `autoscaler` is {node type: most nodes that it may start} (None: no autoscaler).
    """

    versions: Versions
    memory_free: int
    gpus: list[int]
    storage: Disk
    work: Disk
    marker: str | None
    temporary: Disk
    shared_memory: int
    listeners: list[Listener]
    gpu_error: str | None = None
    kubernetes: bool = False
    autoscaler: dict[str, int] | None = None
    clock: float = 0.0
    clock_error: float = 0.0


@dataclass(frozen=True)
class Node:
    """A node as Ray lists it, and its own report; `silence` is why there is none."""

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
    """A database or server of the search: its name in a sentence, and the error and the fix if it cannot be used."""

    name: str
    where: str
    error: str | None = None
    fix: str = ""
    file: str | None = None
    """Its path, if it is a SQLite file."""


@dataclass(frozen=True)
class Facts:
    """Everything that the checks read. `nodes` is None if Ray was not reached, `free` are (CPU cores, GPUs) that no
    process holds, `here` are the driver's own versions, `marker` is what the driver wrote into the storage."""

    needs: Needs
    access: Access
    nodes: tuple[Node, ...] | None
    storage: Disk
    marker: str | None
    study: Service
    mlflow: Service
    here: Versions
    free: tuple[float, float] | None = None

    @property
    def alive(self) -> tuple[Node, ...]:
        """Nodes that Ray lists as up."""
        return tuple(node for node in self.nodes or () if node.alive)

    @property
    def probes(self) -> dict[str, Probe]:
        """{node: its report}, of the nodes that answered."""
        return {node.name: node.probe for node in self.alive if node.probe is not None}
