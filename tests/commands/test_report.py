"""`python -m palenka_tune.report`: which searches, where the page goes, mistakes."""

from __future__ import annotations

import pytest

from palenka_tune.commands import options, report
from palenka_tune.runs.run_folder import locked
from palenka_tune.storage.mirror import working_folder
from tests.support.s3 import another_node
from tests.trials.test_ledger import open_ledger, run_all


@pytest.fixture
def storage(tmp_path):
    """Two ended searches, of which `two` was worked in last."""
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        with locked(tmp_path / "runs" / name):
            run_all(open_ledger(tmp_path / "runs" / name, samples=2))
    return tmp_path / "runs"


def test_the_last_search_gets_its_page_and_its_pictures(storage, capsys):
    assert options.run(report.cli, ["--storage", str(storage)]) == 0
    said = capsys.readouterr().out
    assert f"report: {storage / 'two' / 'report.html'}" in said
    assert f"plots: {storage / 'two' / 'plots'}" in said
    page = (storage / "two" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Search two</h1>" in page
    assert "killed while searching" in page
    assert not (storage / "one" / "report.html").exists()


def test_several_searches_are_compared_in_a_file_of_ones_own(storage, tmp_path):
    out = tmp_path / "both" / "page.html"
    assert options.run(report.cli, [str(storage / "one"), "two", "--storage", str(storage), "--out", str(out)]) == 0
    assert "<h1>Searches one, two</h1>" in out.read_text(encoding="utf-8")
    assert list((tmp_path / "both" / "plots").glob("one_*.png"))
    assert not list(storage.glob("*/report.html"))


def test_without_a_file_of_its_own_a_comparison_goes_to_a_folder_here(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options.run(report.cli, ["one", "two", "--storage", str(storage)]) == 0
    assert (tmp_path / "palenka_report" / "report.html").exists()


def test_nothing_else_in_the_run_folder_changes(storage):
    before = {path: path.read_bytes() for path in (storage / "two").rglob("*") if path.is_file()}
    assert options.run(report.cli, ["two", "--storage", str(storage)]) == 0
    assert {path: path.read_bytes() for path in before} == before
    new = {path.relative_to(storage / "two").parts[0] for path in (storage / "two").rglob("*") if path not in before}
    assert new == {"report.html", "plots"}


def test_a_search_in_a_remote_storage_is_reported_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "node1"))
    url = f"file://{tmp_path}/shared"
    folder = working_folder(url) / "far"
    folder.mkdir(parents=True)
    with locked(folder):
        run_all(open_ledger(folder, samples=2))
    monkeypatch.chdir(tmp_path)
    with another_node(tmp_path / "node2"):
        assert options.run(report.cli, ["far", "--storage", url]) == 0
    page = (tmp_path / "palenka_report" / "report.html").read_text(encoding="utf-8")
    assert f"{url}/far" in page
    assert not list((tmp_path / "shared").rglob("report.html"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tow"], "there is no search 'tow' in"),
        (["one", "one"], "the run one is given twice"),
        (["one", "--out", "page.pdf"], "--out is page.pdf; give a file that ends in .html"),
        (["one", "--study-storage", "host/db"], "give the URL of a database"),
    ],
)
def test_mistakes_are_one_sentence_and_end_with_2(storage, capsys, argv, message):
    assert options.run(report.cli, [*argv, "--storage", str(storage)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
