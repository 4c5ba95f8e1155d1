"""Large blocks come from memory that a process has had before, instead of from the system, page by page."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from palenka_tune.cluster import compute

compute.begin(threads=1) if sys.argv[1] == "kept" else torch.set_num_threads(1)

def megabytes(count):
    return torch.empty(count << 18).fill_(1.0)

def step():
    first, second = megabytes(64), megabytes(40)
    del first
    third = megabytes(50)

for _ in range(30):  # until there are places of all sizes
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(torch.get_num_threads(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_process_that_computes_keeps_its_memory():
    found = {}
    for way in ("kept", "as it is"):
        done = subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True)
        threads, found[way] = map(int, done.stdout.split())
        assert threads == 1
    assert found["as it is"] > 4 * 1000  # a page of 4 kB each, or fewer large ones
    assert found["kept"] < found["as it is"] / 10
