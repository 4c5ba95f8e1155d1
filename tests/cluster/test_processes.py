"""Only processes of Ray's are ended."""

from __future__ import annotations

import subprocess
import time

import psutil
import pytest

from palenka_tune.cluster import processes


@pytest.fixture
def sleeper():
    """Starts a process that calls itself as it is told."""
    started = []

    def start(name: str) -> subprocess.Popen:
        started.append(subprocess.Popen([name, "60"], executable="/bin/sleep"))
        while psutil.Process(started[-1].pid).cmdline() != [name, "60"]:
            time.sleep(0.05)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_only_rays_processes_are_ended(sleeper):
    rays, other = sleeper("ray::StudentTrial"), sleeper("sleep")
    for process in (rays, other):
        processes._kill(process.pid)
    assert rays.wait(10) == -9
    assert other.poll() is None
    processes._kill(rays.pid)  # gone by now
