"""The way in, where there is no Ray: an address that cannot be one, a closed port, a port that is somebody else's."""

from __future__ import annotations

import socket

import pytest

from palenka_tune.doctor.facts import access
from palenka_tune.errors import UserError


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "ray://10.0.0.1:10001", "http://10.0.0.1:8265", "host:port", ":1", "local"]
)
def test_an_address_that_a_search_could_not_use_is_refused(address):
    with pytest.raises(UserError, match="HOST:PORT"):
        access.check_address(address)


@pytest.mark.parametrize("address", [None, "auto", "10.0.0.1:6379", "[::1]:6379", "head.local:6379"])
def test_an_address_that_may_be_one(address):
    access.check_address(address)


def test_a_closed_port_is_known_at_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = access.reach(f"127.0.0.1:{port}")
    assert "nothing answers there" in (found.refused or "")
    assert not found.by_token


@pytest.mark.slow
def test_a_port_that_is_not_rays(monkeypatch):
    monkeypatch.setattr(access, "HEALTH_SECONDS", 4.0)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        found = access.reach(f"127.0.0.1:{server.getsockname()[1]}")
    assert "not as Ray does" in (found.refused or "")


def test_without_an_address_the_token_is_our_own(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert access.reach(None) == access.Access(None, open=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert access.reach(None).open
