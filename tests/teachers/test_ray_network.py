"""Which interface the ranks of a teacher use; `tests.cluster.three_hosts` trains over two hosts for real."""

from __future__ import annotations

import os
import socket

from palenka_tune.teachers import ray_network


def test_loopback_is_found_and_an_address_of_nobody_is_not():
    assert ray_network.interface_of("127.0.0.1") in {name for _, name in socket.if_nameindex()}
    assert ray_network.interface_of("203.0.113.7") is None


def test_what_a_user_chose_wins(monkeypatch):
    monkeypatch.setattr(ray_network, "get_node_ip_address", lambda: "10.0.0.7")  # no cluster here
    monkeypatch.setattr(ray_network, "interface_of", lambda address: {"10.0.0.7": "ib0"}[address])
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "")
    monkeypatch.delenv("NCCL_SOCKET_IFNAME")
    ray_network.use_network_of_ray()
    assert (os.environ["GLOO_SOCKET_IFNAME"], os.environ["NCCL_SOCKET_IFNAME"]) == ("eth7", "ib0")
