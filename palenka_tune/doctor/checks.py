"""All checks by name, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable

from palenka_tune.doctor import of_cluster, of_plan
from palenka_tune.doctor.facts import Facts, Finding

Check = Callable[[Facts], Finding | None]

CHECKS: dict[str, Check] = {
    "ray": of_cluster.ray,
    "nodes": of_cluster.nodes,
    "versions": of_cluster.versions,
    "places": of_plan.places,
    "memory": of_plan.memory,
    "storage": of_plan.storage,
    "cache": of_plan.cache,
    "study": of_plan.study,
    "mlflow": of_plan.mlflow,
    "token": of_cluster.token,
    "dashboard": of_cluster.dashboard,
    "clocks": of_cluster.clocks,
    "ray disk": of_cluster.ray_disk,
}
