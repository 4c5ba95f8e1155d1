"""All checks by name, in the order in which they are printed. Each judges facts (`doctor.facts`) and measures nothing.

A check returns None if it has no facts to judge.
"""

from __future__ import annotations

from collections.abc import Callable

from palenka_tune.doctor.checks import capacity, cluster, security, storage
from palenka_tune.doctor.checks.finding import Finding
from palenka_tune.doctor.facts import Facts

Check = Callable[[Facts], Finding | None]


def _of_reports(check: Check) -> Check:
    """`check`, left out if no node has reported."""
    return lambda facts: check(facts) if facts.probes else None


CHECKS: dict[str, Check] = {
    "ray": cluster.ray,
    "nodes": cluster.nodes,
    "versions": _of_reports(cluster.versions),
    "places": capacity.places,
    "memory": _of_reports(capacity.memory),
    "storage": storage.storage,
    "cache": capacity.cache,
    "headroom": capacity.headroom,
    "data": capacity.data,
    "study": lambda facts: storage.service(facts, facts.study),
    "mlflow": lambda facts: storage.service(facts, facts.mlflow),
    "token": _of_reports(security.token),
    "dashboard": _of_reports(security.dashboard),
    "clocks": _of_reports(cluster.clocks),
    "ray disk": _of_reports(cluster.ray_disk),
}
