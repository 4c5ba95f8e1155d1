"""clusters/README.md: its commands have options that exist, there are five a kind, and its figures are those of its
script."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.dashboard.modules.job.cli import job_cli_group
from ray.scripts.scripts import cli

from palenka_tune.commands import module_of

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "clusters" / "README.md").read_text(encoding="utf-8")
MANIFEST = (ROOT / "clusters" / "kuberay.yaml").read_text(encoding="utf-8")
KINDS = ("AWS", "Google Cloud", "Machines of your own", "SLURM", "Kubernetes")
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
# the manifest's own command among them
COMMANDS = [line for block in BLOCKS for line in block.splitlines()] + [
    list(yaml.safe_load_all(MANIFEST))[1]["spec"]["entrypoint"]
]


@pytest.mark.parametrize("kind", KINDS)
def test_five_commands_lead_to_a_finished_search(kind: str) -> None:
    section = TEXT.split(f"\n## {kind}\n")[1].split("\n## ")[0]
    assert len(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[0].splitlines()) == 5


def parts(command: str) -> list[list[str]]:
    """The programs that a line runs, one after another: `a && b`, and `a -- b`."""
    words = shlex.split(re.sub(r"\(|&\)|;", " && ", command.replace("$(", "")))
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "--", ">"):
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]


def options(words: list[str]) -> set[str]:
    return {word.split("=")[0] for word in words if word.startswith("-")}


@functools.cache
def help_of(*command: str) -> str:
    return subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    ).stdout


OURS = sorted({tuple(part) for line in COMMANDS for part in parts(line) if part[0] == "python"})


@pytest.mark.slow
@pytest.mark.parametrize("part", OURS, ids=lambda part: " ".join(part[1:4]))
def test_our_commands_have_these_options(part: tuple[str, ...]) -> None:
    given = list(part[1:])
    if given[0] == "-m":
        module, given = given[1], given[2:]
        known = module_of(module.removeprefix("palenka_tune.")).parser().format_help()
    else:
        script = given.pop(0).removeprefix("/srv/palenka/")
        known = help_of(script)
    assert [option for option in options(given) if not re.search(rf"(?<![\w-]){option}(?![\w-])", known)] == []


def test_ray_s_commands_have_these_options() -> None:
    seen = set()
    for line in COMMANDS:
        for part in parts(line):
            if part[0] != "ray":
                continue
            group, name = (job_cli_group, part[2]) if part[1] == "job" else (cli, part[1])
            command = group.commands[name]
            known = {option for parameter in command.params for option in parameter.opts}
            assert options(part[2:]) <= known, line
            seen.add(name)
    assert seen >= {"up", "dashboard", "submit", "get-auth-token", "down"}


def test_the_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"clusters/[\w/]+\.(?:yaml|py|txt|sbatch)|clusters/docker/Dockerfile", TEXT))
    others = {"clusters/local.yaml", "clusters/slurm.sbatch"}  # may not have come to this checkout yet
    assert {name for name in named - others if not (ROOT / name).exists()} == set()


def test_its_table_is_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("estimate", ROOT / "clusters" / "estimate.py")
    assert spec is not None
    assert spec.loader is not None
    estimate = importlib.util.module_from_spec(spec)
    sys.modules["estimate"] = estimate  # a dataclass looks for its module there
    spec.loader.exec_module(estimate)
    assert estimate.main([]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) > 8
    assert [line for line in lines if line not in TEXT] == []
    # all run to the first rung, half of them to the second, a quarter to the end
    assert estimate.asha_share([0.25, 0.5], 2) == pytest.approx(1 / 4 + (1 / 2) * (1 / 4) + (1 / 4) * (1 / 2))
    assert estimate.asha_share([], 3) == 1
