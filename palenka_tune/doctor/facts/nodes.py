"""Measures all nodes: a process of its own attaches to Ray, sends `probe` to every node and writes what they report.

It is a process of its own so that it can be ended: if a cluster refuses the driver, or a daemon is frozen, Ray's client
retries for minutes and cannot be interrupted. `ask` starts it and returns a function that waits for it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from palenka_tune.cluster import machine
from palenka_tune.cluster.session import ray_session
from palenka_tune.doctor.facts import Node, Probe, probe

NODE_SECONDS = 30.0  # for a node to answer
ATTACH_SECONDS = 40.0  # for the driver to be let in, or for Ray to start here
CLOCK_READINGS = 3
BY_VALUE = (probe, machine)
"""Modules whose code is sent along: a node may have another version of them, or none."""


@dataclass(frozen=True)
class Survey:
    """All nodes and the (CPU cores, GPUs) that no process holds, or the `error` for which Ray could not be asked."""

    nodes: tuple[Node, ...] | None = None
    free: tuple[float, float] | None = None
    error: str = ""


AS_JSON = TypeAdapter(Survey)


def ask(address: str | None, storage: str, work: str, marker: str) -> Callable[[], Survey]:
    """Begin to ask every node of the cluster at `address` (None: a Ray that is started here); the function that is
    returned waits for the answer."""
    folder = tempfile.TemporaryDirectory(prefix="palenka_doctor-")
    answer, errors = Path(folder.name, "answer.json"), Path(folder.name, "errors")
    task = json.dumps({"address": address, "storage": storage, "work": work, "marker": marker})
    with errors.open("wb") as sink:  # Ray's C++ core talks
        argv = [sys.executable, "-m", "palenka_tune.doctor.facts.nodes", task, str(answer)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)

    def wait() -> Survey:
        seconds = ATTACH_SECONDS + 2 * NODE_SECONDS
        with folder:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return Survey(error=f"Ray does not let the driver in within {seconds:.0f} s")
            finally:
                _end(process)
            if answer.exists():
                return AS_JSON.validate_json(answer.read_bytes())
            lines = errors.read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
            return Survey(error=lines[-1])

    return wait


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, gently first: it may have started Ray."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()


def survey(address: str | None, storage: str, work: str, marker: str) -> Survey:
    """In the process of its own: attach, and ask all nodes at once."""
    with ray_session(address):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for module in BY_VALUE:
            ray.cloudpickle.register_pickle_by_value(module)
        free = ray.available_resources()
        listed = ray.nodes()
        asked = {}
        for node in listed:
            if node["Alive"]:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                prober = ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=there)(probe.Prober).remote()
                asked[node["NodeID"]] = prober, prober.examine.remote(storage, work, marker)
        ray.wait([report for _, report in asked.values()], num_returns=len(asked), timeout=NODE_SECONDS)
        addresses = [node["NodeManagerAddress"] for node in listed if node["Alive"]]
        nodes = []
        for node in listed:
            name, resources = node["NodeManagerAddress"], node["Resources"]
            nodes.append(
                Node(
                    name=f"{name}:{node['NodeManagerPort']}" if addresses.count(name) > 1 else name,
                    alive=node["Alive"],
                    head="node:__internal_head__" in resources,
                    cpus=int(resources.get("CPU", 0)),
                    gpus=int(resources.get("GPU", 0)),
                    object_store=int(resources.get("object_store_memory", 0)),
                    died_of=(node.get("DeathReasonMessage") or "").strip().partition("\n")[0],
                    **(_answer(ray, *asked[node["NodeID"]]) if node["Alive"] else {}),
                )
            )
        return Survey(tuple(nodes), (free.get("CPU", 0.0), free.get("GPU", 0.0)))


def _answer(ray: Any, prober: Any, report: Any) -> dict[str, Any]:
    """A node's `probe`, or the `silence` that says why there is none."""
    try:
        plain = ray.get(report, timeout=0)
        ahead, error = _clock(ray, prober)
        return {"probe": TypeAdapter(Probe).validate_python({**plain, "clock": ahead, "clock_error": error})}
    except ray.exceptions.GetTimeoutError:
        return {"silence": f"it does not answer within {NODE_SECONDS:.0f} s"}
    except ray.exceptions.RayError as problem:
        return {"silence": str(problem).strip().partition("\n")[0]}


def _clock(ray: Any, prober: Any) -> tuple[float, float]:
    """Seconds that the node's clock is ahead, and half the time that the question took: the best of some readings."""
    readings = []
    for _ in range(CLOCK_READINGS):
        asked = time.time()
        there = ray.get(prober.clock.remote(), timeout=NODE_SECONDS)
        answered = time.time()
        readings.append(((answered - asked) / 2, there - (asked + answered) / 2))
    error, ahead = min(readings)
    return ahead, error


def main(task: str, answer: Path) -> None:
    """Do what `task` says and write the survey to `answer`."""
    try:
        found = survey(**json.loads(task))
    except Exception as error:  # our own, and the many that Ray has
        found = Survey(error=str(error).strip().partition("\n")[0] or type(error).__name__)
    answer.write_bytes(AS_JSON.dump_json(found))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1], Path(sys.argv[2]))
