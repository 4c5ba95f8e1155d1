"""The short form of `python -m tests.cluster.planted_faults`: a healthy cluster, and faults of a node of its own.

Shorter still, without a cluster: `tests/doctor/test_checks.py` judges the facts of every fault, `tests/doctor/facts`
measures them, and `tests/commands/test_doctor.py` runs the command on this machine.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cluster import planted_faults, sealed

SHORT = ("another token", "storage not shared", "another release on a node")


def test_at_least_ten_faults_are_planted_over_many_checks():
    assert len(planted_faults.FAULTS) >= 10
    assert len({fault.check for fault in planted_faults.FAULTS.values()}) >= 8
    assert set(SHORT) <= set(planted_faults.FAULTS)
    assert set(planted_faults.ALSO) <= set(planted_faults.FAULTS)


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.entry
@pytest.mark.timeout(900)
def test_the_doctor_finds_what_is_planted(tmp_path):
    only = [word for name in SHORT for word in ("--only", name)]
    argv = [sys.executable, "-m", "tests.cluster.planted_faults", *only, "--json", str(tmp_path / "result.json")]
    done = subprocess.run(argv, cwd=sealed.ROOT, capture_output=True, text=True)
    if "cannot make namespaces" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["healthy"]["exit_code"] == 0
    assert {name for name, each in result["faults"].items() if each["good"]} == set(SHORT)
