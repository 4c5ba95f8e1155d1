"""The site: it builds without a warning, has every page and setting, and loads nothing from the network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from html import unescape
from pathlib import Path

import pytest

from palenka_tune.commands import COMMANDS
from palenka_tune.config.build import leaf_paths
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.resolve import shipped_spaces
from palenka_tune.spaces.settings import SearchSettings
from palenka_tune.students.distill import DistillOptions

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")):
        pytest.skip("the site's generator is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder


def text_of(page: Path) -> str:
    """What a page shows."""
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_link_of_a_page_leads_somewhere_in_a_checkout() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "clusters").glob("*.md"), *ROOT.glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))]
    relative = [(page, link) for page, link in links if not re.match(r"[a-z]+:", link)]
    assert len(relative) > 50
    assert [f"{page.name}: {link}" for page, link in relative if not (page.parent / link).exists()] == []


def test_every_page_is_there(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    made = {"commands", "settings", "first_search", "changes", "contributing", "clusters"}
    assert {name for name in pages | made if not (site / name / "index.html").is_file()} == set()
    assert (site / "first_search.ipynb").is_file()
    assert (site / "clusters" / "aws.yaml").is_file()
    assert not list(site.rglob("hooks.py"))


def test_the_reference_has_every_command_setting_and_space(site: Path) -> None:
    commands, settings = text_of(site / "commands" / "index.html"), text_of(site / "settings" / "index.html")
    assert [name for name in COMMANDS if f"usage: python -m palenka_tune.{name}" not in commands] == []
    paths = [*leaf_paths(Experiment), *(f"search.{path}" for path in leaf_paths(SearchSettings))]
    shown = set(settings.split())
    assert [path for path in paths if path not in shown and path != "teachers"] == []
    assert [space.stem for space in shipped_spaces() if space.read_text(encoding="utf-8") not in settings + "\n"] == []


def test_the_python_page_has_functions_results_and_units(site: Path) -> None:
    shown = text_of(site / "python" / "index.html")
    for said in ("Search for the best way to distil", "Train one student with fixed settings", "load_student"):
        assert said in shown
    assert "The student's own cross-entropy when it was last measured, in nats per token" in shown
    options = [field.name for field in (*fields(SearchOptions), *fields(DistillOptions))]
    assert [name for name in options if not re.search(rf"\b{name}: .*\b{name}\s+\(", shown, re.DOTALL)] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|iframe)[^>]*\bsrc="?https?:|<link[^>]*\bhref="?https?:|url\(["']?https?:""")
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert [path.name for path in pages if loads.search(path.read_text(encoding="utf-8"))] == []
