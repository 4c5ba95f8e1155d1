"""How the workers of a teacher find each other across hosts: by the network that Ray itself uses.

Gloo listens on the address that the host's own name stands for. Debian and others let that be 127.0.1.1, so that ranks
on two hosts wait for each other in vain; a host with several networks may choose the wrong one. Here every worker tells
Gloo and NCCL the interface of its Ray node, before the process group is made; on one machine that is loopback. A user's
GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME win.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import psutil
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.util import get_node_ip_address


@dataclass
class ClusterTorchConfig(TorchConfig):
    """`TorchConfig` for `TorchTrainer`, with the network chosen first."""

    @property
    def backend_cls(self) -> type:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(use_network_of_ray)
        super().on_start(worker_group, backend_config)


def use_network_of_ray() -> None:
    """In a worker: name the interface of this Ray node to Gloo and NCCL."""
    name = interface_of(get_node_ip_address())
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def interface_of(address: str) -> str | None:
    """The name of the network interface that has this IP address; None if there is none."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in addresses):
            return str(name)
    return None
