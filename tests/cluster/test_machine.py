"""What a machine leaves to a process, from the files of cgroups of both versions, and of none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from palenka_tune.cluster import tasks
from palenka_tune.cluster.machine import available_cpus, free_memory, memory_kills

MB = 1 << 20
CORES = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


def plant(root: Path, cgroup: str, files: dict[str, str], available_mb: int = 8000) -> Path:
    """A machine with the lines `cgroup` of /proc/self/cgroup and these files below /sys/fs/cgroup."""
    texts = {
        "proc/self/cgroup": cgroup,
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {available_mb * 1024} kB\n",
        "proc/vmstat": "nr_free_pages 1\noom_kill 7\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "5:memory:/job/step\n4:cpu,cpuacct:/job/step\n0::/\n"
QUOTAS = {
    "no cgroup": ("", {}, 16),
    "v2 without a quota": ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
    "v2 in a container": ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
    "v2, half a core more": ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
    "v2, less than a core": ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    "v2, more than there are": ("0::/\n", {"cpu.max": "6400000 100000\n"}, 16),
    "v2 of a parent": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
    "v2, the tightest": ("0::/a/b\n", {"a/b/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, 2),
    "v2 of another group": ("0::/a\n", {"a/cpu.max": "max 100000", "b/cpu.max": "100000 100000"}, 16),
    "v2, the path outside": ("0::/docker/0a1b\n", {"cpu.max": "400000 100000\n"}, 4),
    "v2 beside v1": ("3:pids:/\n0::/a\n", {"unified/a/cpu.max": "500000 100000\n"}, 5),
    "v1 without a quota": (V1, {"cpu/job/step/cpu.cfs_quota_us": "-1", "cpu/job/step/cpu.cfs_period_us": "100000"}, 16),
    "v1": (V1, {"cpu/job/step/cpu.cfs_quota_us": "200000", "cpu/job/step/cpu.cfs_period_us": "100000"}, 2),
    "v1 of a parent": (
        V1,
        {"cpu/job/step/x": "", "cpu/job/cpu.cfs_quota_us": "300000", "cpu/job/cpu.cfs_period_us": "100000"},
        3,
    ),
    "v1, the path outside": (V1, {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "50000"}, 3),
    "v1, its end alone is mounted": (
        V1,
        {"cpu/step/cpu.cfs_quota_us": "50000", "cpu/step/cpu.cfs_period_us": "10000"},
        5,
    ),
}


@pytest.mark.parametrize("kind", QUOTAS)
def test_cores_are_those_of_the_quota_if_it_grants_less_than_the_affinity(tmp_path, kind):
    cgroup, files, cpus = QUOTAS[kind]
    assert available_cpus(plant(tmp_path, cgroup, files)) == cpus


def test_the_affinity_counts_where_it_is_less(tmp_path, monkeypatch):
    root = plant(tmp_path, "0::/\n", {"cpu.max": "800000 100000\n"})
    assert available_cpus(root) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5})
    assert available_cpus(root) == 2


def v2(limit: str, used: int, copies: int = 0, folder: str = "") -> dict[str, str]:
    return {
        f"{folder}memory.max": limit,
        f"{folder}memory.current": str(used * MB),
        f"{folder}memory.stat": f"anon 1\ninactive_file {copies * MB}\n",
    }


MEMORY = {
    "no cgroup": ("", {}, 8000),
    "v2 without a limit": ("0::/\n", v2("max\n", 100), 8000),
    "v2": ("0::/\n", v2(str(4000 * MB), 1000), 3000),
    "v2, copies of files can go": ("0::/\n", v2(str(4000 * MB), 1000, copies=600), 3600),
    "v2 of a parent": ("0::/a/b\n", v2("max", 10, folder="a/b/") | v2(str(500 * MB), 100, folder="a/"), 400),
    "v2, used up": ("0::/\n", v2(str(100 * MB), 200), 0),
    "v1": (
        V1,
        {
            "memory/job/step/memory.limit_in_bytes": str(2000 * MB),
            "memory/job/step/memory.usage_in_bytes": str(1500 * MB),
            "memory/job/step/memory.stat": f"cache 5\ntotal_inactive_file {100 * MB}\n",
        },
        600,
    ),
    "v1 without a limit": (
        V1,
        {
            "memory/job/step/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/job/step/memory.usage_in_bytes": str(1500 * MB),
        },
        8000,
    ),
}


@pytest.mark.parametrize("kind", MEMORY)
def test_free_memory_is_that_of_the_tightest_cgroup(tmp_path, kind):
    cgroup, files, free = MEMORY[kind]
    assert free_memory(plant(tmp_path, cgroup, files)) == free * MB


@pytest.mark.parametrize(
    ("cgroup", "files", "kills"),
    [
        ("0::/a\n", {"a/memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"}, 2),
        (V1, {"memory/job/step/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"}, 4),
        ("0::/\n", {}, 7),
        ("", {}, 7),
    ],
    ids=["v2", "v1", "the root has no count", "no cgroup"],
)
def test_kills_for_lack_of_memory_are_counted(tmp_path, cgroup, files, kills):
    assert memory_kills(plant(tmp_path, cgroup, files)) == kills


def test_this_machine_has_cores_and_memory(monkeypatch):
    monkeypatch.undo()
    assert 1 <= available_cpus() <= CORES
    assert free_memory() > 0
    assert memory_kills() >= 0


def test_a_job_that_was_killed_for_lack_of_memory_says_so(monkeypatch):
    import ray

    def died(reference):
        raise ray.exceptions.WorkerCrashedError

    job = tasks.Job()
    job.name = "student"
    monkeypatch.setattr(ray, "get", died)
    monkeypatch.setattr(tasks, "memory_kills", lambda: 3)
    assert tasks._result(None, job, 2)["failed"] == "its process died 3 times (killed for lack of memory)"
    assert "memory)" not in tasks._result(None, job, 3)["failed"]
