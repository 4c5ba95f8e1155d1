"""Every part of a report has its place, whatever is known of a run."""

from __future__ import annotations

from palenka_tune.report.data import RunData
from palenka_tune.report.sections import comparison, sections
from tests.report import synthetic
from tests.report.synthetic import run_to


def test_every_part_is_there_for_every_kind_of_run() -> None:
    whole = [section.heading for section in sections(synthetic.run())]
    bare = sections(RunData("young", "preparing"))
    assert [section.heading for section in bare] == [name for name in whole if name != "The two weights"]
    words = " ".join(each for section in bare for each in section.content if isinstance(each, str))
    for silent in ("scored on minimal pairs", "explained variance", "no spread was measured", "cannot be said from 0"):
        assert silent in words
    assert all(not section.figures for section in bare)


def test_every_run_has_its_line_and_its_dots() -> None:
    steps, anchors, finalists = comparison([run_to(4.9, "one"), run_to(4.7, "two")]).figures
    assert [series.name for series in steps.charts[0].body.series] == ["one", "two"]
    assert [text for _, text in anchors.charts[0].body.y.ticks] == ["one", "two"]
    assert [series.name for series in anchors.charts[0].body.series] == [
        "best proposed trial",
        "vanilla KD",
        "no distillation",
    ]
    assert finalists.charts[0].body.y.ticks[0] == (0.0, "one: trial-0007")


def test_nothing_to_draw_is_not_drawn() -> None:
    assert comparison([RunData("one", "preparing"), RunData("two", "preparing")]).figures == []
