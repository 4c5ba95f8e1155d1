"""The versions that clusters get are those of pyproject.toml, in every file that names one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import palenka_tune

ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = ROOT / "clusters"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FILES = sorted(path for path in CLUSTERS.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
IN_IMAGE = ("cluster", "aws", "gcp", "hub", "postgres")  # extras that the Dockerfile installs
PYTHON = "3.11"


def pins() -> dict[str, str]:
    lines = (CLUSTERS / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def ranges() -> dict[str, list[Requirement]]:
    """What pyproject.toml says of each package that comes into the image."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in IN_IMAGE for line in extras[extra])]
    found: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, lines):
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    found.pop("palenka-tune", None)  # an extra that names another
    return found


def test_every_dependency_is_pinned_within_its_range() -> None:
    assert pins().keys() == ranges().keys()
    wrong = [
        f"{name}=={version} is not {requirement}"
        for name, version in pins().items()
        for requirement in ranges()[name]
        if not requirement.specifier.contains(version)
    ]
    assert wrong == []


def test_a_pin_outside_its_range_is_found() -> None:
    assert not any(requirement.specifier.contains("2.61.0") for requirement in ranges()["ray"])
    assert not any(requirement.specifier.contains("4.9.9") for requirement in ranges()["optuna"])


def named_versions(text: str) -> dict[str, set[str]]:
    """Versions that a file names, by what they are of."""
    patterns = {
        "ray": r"(?:\bray(?:\[[\w,]+\])?==|\brayVersion: \"?|-ray|\bRay there and on your machine is )(\d+(?:\.\d+)+)",
        "python": r"(?:\bpython(?=3)|\bPython |\bPYTHON_VERSION=|\bpython:|python=)(3\.\d+)",
        "python tag": r"-py(3\d+)",
        "palenka-tune": r"palenka-tune:(\d+\.\d+\.\d+)",
        "torch": r"\btorch==(\d+(?:\.\d+)+)",
    }
    return {what: set(re.findall(pattern, text)) for what, pattern in patterns.items()}


EXPECTED = {
    "ray": {pins()["ray"]},
    "python": {PYTHON},
    "python tag": {PYTHON.replace(".", "")},
    "palenka-tune": {palenka_tune.__version__},
    "torch": {pins()["torch"]},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CLUSTERS).as_posix())
def test_a_file_names_no_other_version(path: Path) -> None:
    named = named_versions(path.read_text(encoding="utf-8"))
    assert {what: versions for what, versions in named.items() if not versions <= EXPECTED[what]} == {}


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml", "kuberay.yaml", "docker/Dockerfile"])
def test_the_image_s_name_says_its_versions(name: str) -> None:
    named = named_versions((CLUSTERS / name).read_text(encoding="utf-8"))
    for what in ("ray", "python", "python tag", "palenka-tune"):
        assert named[what] == EXPECTED[what], what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('pip install "ray[default,tune]==2.59.0"', "ray"),
        ('rayVersion: "2.60.1"', "ray"),
        ("OWNER/palenka-tune:0.1.0-ray2.59.0-py311-cuda", "ray"),
        ("OWNER/palenka-tune:0.1.0-ray2.60.0-py312-cuda", "python tag"),
        ("OWNER/palenka-tune:0.2.0-ray2.60.0-py311-cuda", "palenka-tune"),
        ("ARG PYTHON_VERSION=3.12", "python"),
        ("python3.12 -m venv env", "python"),
    ],
)
def test_another_version_is_found(text: str, what: str) -> None:
    assert not named_versions(text)[what] <= EXPECTED[what]


def test_python_is_one_that_the_package_allows() -> None:
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(PYTHON)
