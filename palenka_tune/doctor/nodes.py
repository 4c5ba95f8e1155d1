"""Asking the nodes: a process of its own that attaches to Ray, sends `probe` to every node and writes what they say.

It is a process of its own so that it can be ended: where a cluster lets nobody in, or a daemon is frozen, Ray's client
tries again for minutes and cannot be interrupted. `ask` starts it and returns a function that waits for it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palenka_tune.cluster.session import ray_session
from palenka_tune.doctor import probe
from palenka_tune.doctor.facts import Node, Probe
from palenka_tune.errors import PalenkaError

NODE_SECONDS = 30.0  # for a node to answer
ATTACH_SECONDS = 40.0  # for the driver to be let in, or for Ray to start here
CLOCK_READINGS = 3

Survey = tuple[tuple[Node, ...] | None, tuple[float, float] | None, str]


def ask(
    address: str | None, storage: str, work: str, marker: str, *, node_seconds: float = NODE_SECONDS
) -> Callable[[], Survey]:
    """Begin to ask every node of the cluster at `address` (None: a Ray that is started here).

    The function that is returned waits and gives (nodes, free CPU cores and GPUs, ""), or (None, None, the reason).
    """
    task = {"address": address, "storage": storage, "work": work, "marker": marker, "seconds": node_seconds}
    folder = tempfile.TemporaryDirectory(prefix="palenka_doctor-")
    job, answer, errors = (Path(folder.name) / name for name in ("job.json", "answer.json", "errors"))
    job.write_text(json.dumps(task))
    with errors.open("wb") as sink:  # Ray's C++ core talks
        argv = [sys.executable, "-m", "palenka_tune.doctor.nodes", str(job), str(answer)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)

    def wait() -> Survey:
        with folder:
            try:
                process.wait(ATTACH_SECONDS + 2 * node_seconds)
            except subprocess.TimeoutExpired:
                return None, None, f"Ray does not let the driver in within {ATTACH_SECONDS + 2 * node_seconds:.0f} s"
            finally:
                _end(process)
            if not answer.exists():
                last = errors.read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
                return None, None, last[-1]
            found = json.loads(answer.read_text())
        if "error" in found:
            return None, None, found["error"]
        nodes = [dict(node) for node in found["nodes"]]
        for node in nodes:
            node["probe"] = None if node["probe"] is None else Probe.of(node["probe"])
        return tuple(Node(**node) for node in nodes), tuple(found["free"]), ""

    return wait


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, gently first: it may have started Ray."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def survey(address: str | None, storage: str, work: str, marker: str, seconds: float) -> dict[str, Any]:
    """In the process of its own: attach, ask all nodes at once, and return plain data."""
    with ray_session(address):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.cloudpickle.register_pickle_by_value(probe)  # a node need not have it, nor the same one
        free = ray.available_resources()
        listed = ray.nodes()
        alive = [node for node in listed if node["Alive"]]
        probers, asked = {}, {}
        for node in alive:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            prober = ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=there)(probe.Prober).remote()
            probers[node["NodeID"]] = prober
            asked[node["NodeID"]] = prober.examine.remote(storage, work, marker)
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=seconds)
        names = _names(listed)
        found = []
        for node in listed:
            resources = node["Resources"]
            plain = {
                "name": names[node["NodeID"]],
                "alive": node["Alive"],
                "head": "node:__internal_head__" in resources,
                "cpus": int(resources.get("CPU", 0)),
                "gpus": int(resources.get("GPU", 0)),
                "object_store": int(resources.get("object_store_memory", 0)),
                "died_of": (node.get("DeathReasonMessage") or "").strip().partition("\n")[0],
                "probe": None,
                "silence": "",
            }
            if node["Alive"]:
                try:
                    said = ray.get(asked[node["NodeID"]], timeout=0)
                    ahead, error = _clock(ray, probers[node["NodeID"]], seconds)
                    plain["probe"] = {**said, "clock": ahead, "clock_error": error}
                except ray.exceptions.GetTimeoutError:
                    plain["silence"] = f"it does not answer within {seconds:.0f} s"
                except ray.exceptions.RayError as problem:
                    plain["silence"] = str(problem).strip().partition("\n")[0]
            found.append(plain)
        return {"nodes": found, "free": [free.get("CPU", 0.0), free.get("GPU", 0.0)]}


def _names(listed: list[dict[str, Any]]) -> dict[str, str]:
    """{node id: its address}, with the port of its daemon where several nodes have the same address."""
    alive = [node["NodeManagerAddress"] for node in listed if node["Alive"]]
    return {
        node["NodeID"]: node["NodeManagerAddress"]
        + (f":{node['NodeManagerPort']}" if alive.count(node["NodeManagerAddress"]) > 1 else "")
        for node in listed
    }


def _clock(ray: Any, prober: Any, seconds: float) -> tuple[float, float]:
    """Seconds that the node's clock is ahead, and half the time that the question took: the best of some readings."""
    readings = []
    for _ in range(CLOCK_READINGS):
        asked = time.time()
        there = ray.get(prober.clock.remote(), timeout=seconds)
        answered = time.time()
        readings.append(((answered - asked) / 2, there - (asked + answered) / 2))
    error, ahead = min(readings)
    return ahead, error


def main(job: Path, answer: Path) -> int:
    """Do what `job` says and write what came of it to `answer`."""
    task = json.loads(job.read_text())
    try:
        found = survey(**task)
    except PalenkaError as error:
        found = {"error": str(error)}
    except Exception as error:  # Ray says what is wrong by many exceptions
        found = {"error": str(error).strip().partition("\n")[0] or type(error).__name__}
    partial = answer.with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.replace(answer)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
