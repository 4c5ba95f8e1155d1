"""Ending a process of a search by its id, on whichever node of the cluster it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

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
    """Kill a process of Ray's; the number may belong to another one by now, which is left alone."""
    with contextlib.suppress(ProcessLookupError):
        if "ray::" in _command_line(pid):
            os.kill(pid, signal.SIGKILL)


def _command_line(pid: int) -> str:
    """What a process calls itself; nothing if it is gone. Raises `OSError` on Windows, which does not know."""
    if sys.platform == "win32":
        raise OSError(f"process {pid} cannot be told from others on Windows and is left alone; end it by hand")
    if not Path("/proc/self").exists():  # macOS
        return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""
