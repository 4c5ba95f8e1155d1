"""What a machine leaves to this process: CPUs and memory within the limits of its cgroup, and kills for lack of memory.

A container, a batch job and a systemd service see all of a machine, and may use what the cgroup of the process, and of
its parents, grants. Versions 1 and 2 of cgroups are read from files below `root`, which is `/` but for tests.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
CGROUPS = "sys/fs/cgroup"


def available_cpus(root: Path = ROOT) -> int:
    """Cores that this process may use: those of its affinity, or whole ones of its CPU quota if that is less."""
    return max(1, min([len(os.sched_getaffinity(0)), *(int(quota) for quota in _quotas(root))]))


def free_memory(root: Path = ROOT) -> int:
    """Bytes of memory that new processes may take: of the machine, or of the tightest cgroup if that is less."""
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    (available,) = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return max(0, min([available, *_rooms(root)]))


def memory_kills(root: Path = ROOT) -> int:
    """How many processes of this one's cgroup the kernel has killed for lack of memory; without a cgroup that counts,
    of the whole machine."""
    for controller, file in (("memory", "memory.oom_control"), ("", "memory.events")):
        for group in _groups(root, controller):
            count = _table(group / file).get("oom_kill")
            if count is not None:
                return count
    return _table(root / "proc/vmstat").get("oom_kill", 0)


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each cgroup with a quota grants."""
    for group in _groups(root, ""):
        with contextlib.suppress(OSError, ValueError):  # "max": no quota
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota) / int(period)
    for group in _groups(root, "cpu"):
        quota_us, period_us = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota_us is not None and period_us and quota_us > 0:  # -1: no quota
            yield quota_us / period_us


def _rooms(root: Path) -> Iterator[int]:
    """Bytes that each cgroup with a limit still grants. What is only a copy of files can be taken back."""
    names = {
        "": ("memory.max", "memory.current", "inactive_file"),
        "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    for controller, (limit, usage, copies) in names.items():
        for group in _groups(root, controller):
            most, used = _number(group / limit), _number(group / usage)
            if most is not None and used is not None:
                yield most - used + _table(group / "memory.stat").get(copies, 0)


def _groups(root: Path, controller: str) -> list[Path]:
    """The folders of this process's cgroup and of its parents, the own first: of a version-1 `controller`, or of
    version 2 ("").

    Inside a container the path may be the one outside, of which the mount shows the end or nothing.
    """
    mounts = [root / CGROUPS / controller] if controller else [root / CGROUPS, root / CGROUPS / "unified"]
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    fields = [line.split(":", 2) for line in lines]
    paths = [path for _, names, path in fields if controller in names.split(",")]
    groups: list[Path] = []
    for mount in mounts:
        for path in paths:
            parts = Path(path.lstrip("/")).parts
            ends = [mount.joinpath(*parts[first:]) for first in range(len(parts) + 1)]
            own = next((end for end in ends if end.is_dir()), mount)
            groups += [own, *(parent for parent in own.parents if parent.is_relative_to(mount))]
    return groups


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _table(path: Path) -> dict[str, int]:
    """The numbers in a file of lines `name number`."""
    try:
        fields = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in fields if len(line) == 2 and line[1].isdigit()}
