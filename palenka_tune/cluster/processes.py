"""Ending a process of a search by its id, on whichever node of the cluster it runs."""

from __future__ import annotations

import contextlib

import psutil

TIMEOUT = 60.0  # seconds for a node to answer


def kill_process(node: str, pid: int) -> None:
    """Kill the process `pid` on the Ray node `node` (its id in hex); one that has ended already is left alone."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if node == ray.get_runtime_context().get_node_id():
        _kill(pid)
        return
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    ray.get(ray.remote(num_cpus=0, scheduling_strategy=there)(_kill).remote(pid), timeout=TIMEOUT)


def _kill(pid: int) -> None:
    """Kill a process of Ray's; the number may belong to another process by now, which is left alone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if "ray::" in " ".join(process.cmdline()):
            process.kill()
