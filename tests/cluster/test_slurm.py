"""The batch script: what can be read off it, and each case of `tests.cluster.slurm` on a real SLURM."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from palenka_tune.commands import options, search
from tests.cluster.slurm import ALWAYS, CASES, EXPECTED, MARKED, SCRIPT, prepared, with_lines
from tests.cluster.slurm_host import missing
from tests.faults.searches import REPOSITORY

TEXT = SCRIPT.read_text()


def test_it_opens_with_the_lines_to_change():
    before = TEXT[: MARKED.search(TEXT).start()]
    assert [line for line in before.splitlines() if line and not line.startswith("#")] == []
    changed = with_lines(TEXT, partition="cpu", cpus_per_task="4", STORAGE="/data/runs", SEARCH="(smoke)")
    lines = set(changed.splitlines()) - set(TEXT.splitlines())
    assert lines == {"#SBATCH --partition=cpu", "#SBATCH --cpus-per-task=4", "STORAGE=/data/runs", "SEARCH=(smoke)"}
    with pytest.raises(AssertionError, match="RAY is not one of the lines to change"):
        with_lines(TEXT, RAY="2.61")


def test_slurm_reads_all_its_options():
    """`sbatch` takes a line after the first command for a comment, and says nothing."""
    lines = TEXT.splitlines()
    command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    given = [n for n, line in enumerate(lines) if line.startswith("#SBATCH ")]
    assert given
    assert max(given) < command
    assert "--signal=B:USR1@" in TEXT
    assert "--requeue" in TEXT


def test_its_ray_is_that_of_the_package():
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    (ray,) = [each for each in wanted if each.startswith("ray[")]
    pinned = re.search(r"^RAY=(\S+)", TEXT, re.MULTILINE)[1]
    assert f">={pinned}," in ray
    major, minor = pinned.split(".")
    assert ray.endswith(f"<{major}.{int(minor) + 1}")


def test_it_is_bash_and_its_search_is_a_command(tmp_path):
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    arguments = re.search(r"^SEARCH=\((.*?)\)", TEXT, re.MULTILINE)[1].split()
    argv = [*arguments, "--storage", str(tmp_path), "--name", "dskd", "--resume-or-start", "--address", "127.0.0.1:1"]
    assert options.run(search.cli, [*argv, "--dry-run"]) == 0


@pytest.mark.parametrize("number", [1, 2199, 2200, 67_000_000])
def test_the_ports_of_any_job_are_below_those_of_outgoing_connections(number):
    formula = re.search(r"PALENKA_PORT=(\$\(\(.*?\)\))", TEXT)[1]
    said = subprocess.run(["bash", "-c", f"SLURM_JOB_ID={number}; echo {formula}"], capture_output=True, text=True)
    first = int(said.stdout)
    most = max(int(n) for n in re.findall(r"PALENKA_PORT \+ (\d+)", TEXT))
    assert 1024 < first < first + most < 32768
    assert most < 10


reason = missing()
on_slurm = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(reason is not None, reason=str(reason)),
]


@pytest.fixture(scope="module")
def trial():
    with prepared() as made:
        yield made


@pytest.mark.long
@pytest.mark.parametrize("name", [pytest.param(name, marks=on_slurm) for name in CASES])
def test_on_a_real_slurm(trial, name):
    assert CASES[name](trial) == {**ALWAYS, **EXPECTED[name]}
