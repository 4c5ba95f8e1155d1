"""Facts of a healthy cluster of three nodes, to be spoilt one at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

from palenka_tune.doctor.facts import Access, Disk, Facts, Listener, Node, Probe, Service, Versions
from palenka_tune.doctor.facts.needs import needs_of
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.resolve import resolve

HERE: Versions = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0", "palenka_tune": "0.1.0 (code 01234567)"}
STORAGE = Disk("/nfs/runs", free=10**12, total=2 * 10**12, kind="nfs4")
PROBE = Probe(
    versions=HERE,
    memory_free=60 * 10**9,
    gpus=[24 * 10**9],
    storage=STORAGE,
    work=STORAGE,
    marker="mark",
    temporary=Disk("session", free=10**11, total=2 * 10**11),
    shared_memory=3 * 10**10,
    listeners=[Listener("raylet", "10.0.0.2", 4000), Listener("dashboard", "127.0.0.1", 8265)],
    clock=0.01,
    clock_error=0.02,
)
HEAD = Node("10.0.0.1", head=True, cpus=4, gpus=0, object_store=10**10, probe=dataclasses.replace(PROBE, gpus=[]))
WORKERS = tuple(Node(f"10.0.0.{i}", cpus=16, gpus=1, object_store=10**10, probe=PROBE) for i in (2, 3))


def facts(space: str = "smoke", *, options: dict[str, Any] | None = None, scale: str = "tiny", **changes: Any) -> Facts:
    """A healthy cluster for `space`, with `changes` to the fields of `Facts`."""
    config = resolve(space, options={"scale": scale})
    healthy = Facts(
        needs=needs_of(config, SearchOptions(**(options or {}))),
        access=Access("10.0.0.1:6379", open=False),
        nodes=(HEAD, *WORKERS),
        storage=STORAGE,
        marker="mark",
        study=Service("the study's database", "postgresql://db/study"),
        mlflow=Service("MLflow", "http://mlflow:5000"),
        here=HERE,
        free=(36.0, 2.0),
    )
    return dataclasses.replace(healthy, **changes)


def spoilt(node: int = 1, **changes: Any) -> tuple[Node, ...]:
    """The nodes, one of which says something else."""
    nodes = [HEAD, *WORKERS]
    assert nodes[node].probe is not None
    nodes[node] = dataclasses.replace(nodes[node], probe=dataclasses.replace(nodes[node].probe, **changes))
    return tuple(nodes)
