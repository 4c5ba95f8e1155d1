"""The Dockerfile, without Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dockerfiles import findings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "clusters" / "docker" / "Dockerfile").read_text(encoding="utf-8")
FLAVOURS = {"FLAVOUR": {"cpu", "cuda"}}


def test_is_right(tmp_path: Path) -> None:
    assert findings(TEXT, ROOT, tmp_path, FLAVOURS) == []


TYPOS = [
    ("ARG FLAVOUR=", "ARG FLAVOR=", "FLAVOUR is used"),
    ("ARG PYTHON_VERSION=", "ARG PYTHON=", "PYTHON_VERSION is used"),
    ('ARG TORCH_INDEX=""', 'ARG TORCH_INDX=""', "TORCH_INDEX is used"),
    ("COPY palenka_tune /srv", "COPPY palenka_tune /srv", "COPPY"),
    ("COPY clusters/constraints.txt", "COPY clusters/constraint.txt", "constraint.txt"),
    ("FROM base AS torch-cuda", "FROM bas AS torch-cuda", "bas is no stage"),
    ("FROM base AS torch-cpu", "FROM base AS torch-cpus", "torch-cpu is no stage"),
    ("FROM base AS torch-cpu", "FROM base", "has no name"),
    ("\nUSER ray", "\nUSR ray", "USR"),
    ('"$TORCH_INDEX"}', '"$TORCH_INDEX"', "RUN pip"),
]


@pytest.mark.parametrize(("right", "wrong", "named"), TYPOS, ids=[typo[1].strip()[:24] for typo in TYPOS])
def test_a_typo_is_found(right: str, wrong: str, named: str, tmp_path: Path) -> None:
    assert right in TEXT, "the typo's original is no longer there"
    found = findings(TEXT.replace(right, wrong), ROOT, tmp_path, FLAVOURS)
    assert any(named in finding for finding in found), found


def test_what_is_copied_is_in_the_context() -> None:
    """`Dockerfile.dockerignore` keeps everything out but what it names."""
    ignore = (ROOT / "clusters" / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source.split("/__init__")[0]
        for line in TEXT.splitlines()
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    }
    assert copied == kept


def test_the_launcher_s_needs() -> None:
    """What Ray's launcher and KubeRay's probes call in a container, and a home in the image's environment."""
    assert all(f" {tool} " in TEXT for tool in ("rsync", "openssh-client", "wget", "sudo"))
    assert "ENV HOME=" in TEXT
    assert TEXT.rstrip().splitlines()[-1] == 'CMD ["bash"]'  # Ray's launcher starts the container as `IMAGE bash`
    assert TEXT.index("\nUSER ray") > TEXT.rindex("\nRUN "), "everything is installed for all users"
