"""Waking a cluster that scales from zero: what is asked for, when it ends, and that the request is withdrawn."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "clusters" / "wait_for_nodes.py"
SPEC = importlib.util.spec_from_file_location("wait_for_nodes", PATH)
assert SPEC is not None
assert SPEC.loader is not None
wait_for_nodes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(wait_for_nodes)


class Cluster:
    """Brings a node each time it is looked at, up to `most`; its clock goes on when somebody sleeps."""

    def __init__(self, each: dict[str, float], most: int) -> None:
        self.each, self.most, self.nodes, self.now = each, most, -1, 0.0
        self.requests: list[list[dict[str, int]]] = []

    def present(self) -> dict[str, float]:
        self.nodes = min(self.nodes + 1, self.most)
        return {name: amount * self.nodes for name, amount in self.each.items()}

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, wanted: dict[str, int], timeout: float) -> dict[str, int]:
        lacking: dict[str, int] = wait_for_nodes.wait(
            wanted,
            timeout=timeout,
            request=self.requests.append,
            present=self.present,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        return lacking


def test_waits_until_all_are_up_and_withdraws_the_request() -> None:
    cluster = Cluster({"GPU": 2.0, "CPU": 8.0}, most=10)
    assert cluster.wait({"GPU": 3}, timeout=1000) == {}
    assert cluster.nodes == 2
    assert cluster.requests == [[{"GPU": 1}] * 3, []]


def test_says_what_is_missing_when_no_more_come() -> None:
    cluster = Cluster({"GPU": 1.0, "CPU": 8.0}, most=2)
    assert cluster.wait({"GPU": 3, "CPU": 16}, timeout=60) == {"GPU": 1}
    assert cluster.requests[-1] == []


def test_an_interruption_withdraws_the_request_too() -> None:
    cluster = Cluster({"GPU": 1.0}, most=0)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    cluster.sleep = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cluster.wait({"GPU": 1}, timeout=60)
    assert cluster.requests[-1] == []


@pytest.mark.parametrize("argv", [[], ["--gpus", "0"], ["--gpu", "x"]])
def test_a_wish_is_needed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wait_for_nodes.main(argv)
    assert ended.value.code == 2


def test_what_follows_keeps_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `... --gpus 2 -- python -m palenka_tune.search --resume`, `--resume` is the search's."""
    ran: list[Any] = []
    import ray
    import ray.autoscaler.sdk

    monkeypatch.setattr(ray, "init", lambda **options: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 2.0})
    monkeypatch.setattr(ray.autoscaler.sdk, "request_resources", lambda bundles: None)
    monkeypatch.setattr(wait_for_nodes.os, "execvp", lambda file, command: ran.append(command))
    assert wait_for_nodes.main(["--gpus", "2", "--", "python", "-m", "palenka_tune.search", "--resume"]) == 0
    assert ran == [["python", "-m", "palenka_tune.search", "--resume"]]
