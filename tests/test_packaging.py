"""The distribution: what a wheel holds, that it works away from the checkout, and that every search space resolves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import palenka_tune
from palenka_tune.spaces.resolve import DEFAULT_SPACE, find_space, resolve, shipped_spaces

ROOT = Path(__file__).resolve().parents[1]
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "palenka_tune", "search_spaces")


def run(*arguments: str, **options: object) -> str:
    """Standard output of a Python command that must succeed."""
    finished = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=240, **options)  # type: ignore[call-overload]
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return str(finished.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that no `build/` appears in the checkout; needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(source, folder / "source" / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(folder))
    run("-m", "pip", "wheel", *options, str(folder / "source"))
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_the_product_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"palenka_tune-{palenka_tune.__version__}.dist-info"
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "palenka_tune").rglob("*.py")}
    spaces = {f"palenka_tune/search_spaces/{path.name}" for path in SPACES}
    assert modules | {"palenka_tune/py.typed"} <= names
    assert spaces | {"palenka_tune/search_spaces/schema.json"} <= names
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"palenka_tune", info}


@pytest.mark.slow
def test_wheel_says_what_it_is(wheel: Path) -> None:
    info = f"palenka_tune-{palenka_tune.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Version"] == palenka_tune.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "palenka-tune = palenka_tune.__main__:main" in entry_points
    assert {"test", "dev", "hub"} <= set(metadata.get_all("Provides-Extra"))


@pytest.mark.slow
def test_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Unpacked as pip would install it, it finds its own search spaces and resolves each."""
    site = tmp_path / "site"
    run("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(site), str(wheel))
    code = (
        "import json, palenka_tune; from palenka_tune.spaces.resolve import resolve, shipped_spaces; "
        "names = [path.stem for path in shipped_spaces()]; "
        "print(json.dumps([palenka_tune.__file__, {name: resolve(name).description for name in names}]))"
    )
    environment = os.environ | {"PYTHONPATH": str(site)}
    file, spaces = json.loads(run("-c", code, cwd=tmp_path, env=environment))
    assert Path(file).is_relative_to(site)
    assert spaces == {path.stem: resolve(path.stem).description for path in SPACES}
    assert "palenka-tune search" in run("-m", "palenka_tune", cwd=tmp_path, env=environment)


def test_changelog_has_the_version() -> None:
    assert f"\n## [{palenka_tune.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_checkout_offers_its_search_spaces() -> None:
    assert shipped_spaces() == SPACES
    assert find_space(DEFAULT_SPACE) in SPACES


@pytest.mark.parametrize("space", [path.stem for path in SPACES])
def test_search_space_resolves_by_name_and_by_path(space: str) -> None:
    config = resolve(space)
    assert config.space_name == space
    assert config.description
    assert config.space.parameters
    assert resolve(str(ROOT / "search_spaces" / f"{space}.yaml")) == config
