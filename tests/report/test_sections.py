"""Every part of a report has its place, whatever is known of a run."""

from __future__ import annotations

from palenka_tune.report.data import RunData
from palenka_tune.report.page import Table
from palenka_tune.report.sections import comparison, sections
from tests.report import synthetic
from tests.report.synthetic import run_to


def test_every_part_is_there_for_every_kind_of_run() -> None:
    whole = [section.heading for section in sections(synthetic.run())]
    bare = sections(RunData("young", "preparing"))
    assert [section.heading for section in bare] == [name for name in whole if name != "The two weights"]
    words = " ".join(each for section in bare for each in section.content if isinstance(each, str))
    for silent in (
        "scored on minimal pairs",
        "explained variance",
        "no spread was measured",
        "cannot be said from 0",
        "cannot be said yet",
    ):
        assert silent in words
    assert all(not section.figures for section in bare)


def test_it_opens_with_the_recipe_of_the_winner_and_one_chart_of_intervals() -> None:
    run = synthetic.run()
    found, early = sections(run)[:2]
    recipe, figure = found.content[:2]
    assert isinstance(recipe, Table)
    assert run.finalists.winner in recipe.caption
    assert (figure.name, len(figure.charts)) == ("finalists", 1)
    assert early.heading == "Do early looks predict the end?"
    assert [figure.name for figure in early.figures] == ["early_looks"]


def test_without_fresh_seeds_it_opens_with_the_best_of_each_arm() -> None:
    found = sections(synthetic.run(finalists=None))[0]
    assert [figure.name for figure in found.figures] == ["best"]


def test_every_run_has_its_line_and_its_dots() -> None:
    steps, arms, finalists = comparison([run_to(4.9, "one"), run_to(4.7, "two")]).figures
    assert [series.name for series in steps.charts[0].body.series] == ["one", "two"]
    assert [text for _, text in arms.charts[0].body.y.ticks] == ["one", "two"]
    assert [series.name for series in arms.charts[0].body.series] == [
        "best of plain",
        "best of logits",
        "best of hidden",
    ]
    assert finalists.charts[0].body.y.ticks[0] == (0.0, "one: hidden − logits")


def test_runs_that_cannot_be_compared_share_no_axis_of_levels() -> None:
    found = comparison([run_to(4.9, "one"), run_to(4.7, "two", comparable={"data": "other"})])
    assert [figure.name for figure in found.figures] == ["runs_finalists"]


def test_nothing_to_draw_is_not_drawn() -> None:
    assert comparison([RunData("one", "preparing"), RunData("two", "preparing")]).figures == []
