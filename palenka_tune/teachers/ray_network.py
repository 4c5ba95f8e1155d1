"""How the workers of a teacher find each other across hosts: by the network that Ray itself uses.

Gloo listens on the address that the host's own name stands for. Debian and others let that be 127.0.1.1, so that ranks
on two hosts wait for each other in vain; a host with several networks may choose the wrong one. Here every worker tells
Gloo and NCCL the interface of its Ray node, before the process group is made; on one machine that is loopback. A user's
GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME win.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.util import get_node_ip_address

_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface


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
    """The name of the network interface that has this IPv4 address; None if that cannot be told (not on Linux)."""
    try:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for _, name in socket.if_nameindex():
                request = struct.pack("256s", name.encode()[:15])
                try:
                    answer = fcntl.ioctl(any_socket.fileno(), _SIOCGIFADDR, request)
                except OSError:  # it has no address
                    continue
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    except (ImportError, OSError):
        return None
    return None
