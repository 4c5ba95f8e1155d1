"""Whole reports on disk: their size, their files, several runs, and runs of which little is known."""

from __future__ import annotations

import re

import pytest

from palenka_tune.report.data import RunData
from palenka_tune.report.write import write_html, write_report
from tests.report import synthetic


def test_a_report_of_500_trials_is_under_10_mb_and_has_them_all(tmp_path) -> None:
    run = synthetic.run(500)
    write_html(tmp_path / "report.html", [run])
    assert (tmp_path / "report.html").stat().st_size < 10_000_000
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(trial.trial_id in page for trial in run.trials)


@pytest.mark.slow
def test_every_figure_is_a_picture_of_two_kinds(tmp_path) -> None:
    path, *pictures = write_report(tmp_path / "report.html", [synthetic.run(50)])
    assert path == tmp_path / "report.html"
    assert {picture.parent for picture in pictures} == {tmp_path / "plots"}
    stems = {picture.stem for picture in pictures}
    expected = {"finalists", "early_looks", "search", "history", "expected_best", "alpha_beta", "importance"}
    expected |= {"parallel", "slices", "budget", "explained_variance", "target_spread", "finalists_accuracy"}
    assert stems == expected | {"minimal_pairs_blimp"}
    assert {(picture.stem, picture.suffix) for picture in pictures} == {(s, x) for s in stems for x in (".png", ".svg")}


def test_several_runs_are_compared_first_and_keep_their_pictures_apart(tmp_path) -> None:
    runs = [synthetic.run(20, "one"), synthetic.run(20, "two", seed=1)]
    heading, figures = write_html(tmp_path / "report.html", runs)
    assert heading == "Searches one, two"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings[:3] == ["The runs beside each other", "Search one", "one: what was found"]
    assert "two: how to repeat it" in headings
    names = [figure.name for figure in figures]
    assert {"one_search", "two_search", "runs_by_steps", "runs_and_arms"} <= set(names)
    assert len(set(names)) == len(names)
    assert page.count("plotly.js v") == 1


RUNS = {
    "not begun": RunData("young", "preparing"),
    "fixed settings only": synthetic.run(trials=tuple(synthetic.fixed()), finalists=None, models=(), layers=()),
    "one arm": synthetic.run(trials=tuple(synthetic.fixed()[:1]), finalists=None, models=(), layers=()),
    "all failed": synthetic.run(
        trials=tuple(synthetic.trial(n, {"alpha": 1.0, "beta": 1.0}, "FAILED") for n in range(3)),
        finalists=None,
        state="failed while searching",
    ),
    "one trial": synthetic.run(1, finalists=None, models=(), state="stopped while searching", total_steps=None),
    "nothing searched": synthetic.run(settings=(), trials=tuple(synthetic.fixed())),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_runs_of_which_little_is_known_have_a_report(tmp_path, run) -> None:
    path = write_report(tmp_path / "report.html", [run])[0]
    page = path.read_text(encoding="utf-8")
    assert f"<h1>Search {run.name}</h1>" in page
    if not run.is_finished:
        assert f"This search is not at its end: {run.state}." in page
