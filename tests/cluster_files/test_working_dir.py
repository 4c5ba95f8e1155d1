"""What `ray job submit --working-dir .` sends: the package of a checkout as Ray itself makes it, small and whole."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 2 * 2**20


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes by name, of a checkout in which somebody has worked."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    checkout = tmp_path_factory.mktemp("work") / "checkout"
    for name in tracked():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    for planted in (
        ".git/objects/pack/pack-1.pack",
        ".venv/lib/python3/site.py",
        "palenka_runs/mlflow.db",
        "palenka_runs/artifacts/cache/0.arrow",
        "data/train/all.train",
        "student/model.safetensors",
        "__pycache__/a.pyc",
        "palenka_tune/__pycache__/a.pyc",
        "run.log",
    ):
        (checkout / planted).parent.mkdir(parents=True, exist_ok=True)
        (checkout / planted).write_bytes(b"planted")
    package = checkout.parent / "package.zip"
    create_package(
        str(checkout), package, include_gitignore=True, excludes=get_runtime_env_default_excludes(), logger=None
    )
    with zipfile.ZipFile(package) as archive:
        sizes = {item.filename: item.compress_size for item in archive.infolist() if not item.is_dir()}
    return sizes | {"": package.stat().st_size}


def test_is_small(sent: dict[str, int]) -> None:
    assert sent[""] < LARGEST


def test_has_no_data_no_history_and_no_results(sent: dict[str, int]) -> None:
    tops = {Path(name).parts[0] for name in sent if name}
    assert not tops & {".git", ".venv", "palenka_runs", "data", "student", "docs", "tests", "benchmarks", "run.log"}
    assert not [name for name in sent if "__pycache__" in name]


def test_has_all_that_a_search_needs(sent: dict[str, int]) -> None:
    """`data/` is left out at the top, but palenka_tune/data is a package of ours."""
    for folder, ending in (("palenka_tune", ".py"), ("search_spaces", ".yaml"), ("clusters", ".py")):
        needed = {name for name in tracked() if name.startswith(f"{folder}/") and name.endswith(ending)}
        assert needed
        assert needed <= sent.keys(), folder
    assert "pyproject.toml" in sent
