"""Several runs: who is lowest is said only where it may be said."""

from __future__ import annotations

from palenka_tune.report.comparison import comparison, sentences
from palenka_tune.report.data import RunData
from tests.report import synthetic
from tests.report.synthetic import trial


def run(name, value, **more):
    return synthetic.run(name=name, trials=(*synthetic.anchors(), trial(2, {"beta": 1.0}, val_ce=value)), **more)


def test_the_lowest_of_comparable_runs_is_named_with_its_doubt() -> None:
    found = " ".join(sentences([run("one", 4.9), run("two", 4.7)]))
    assert "The lowest is that of two, 4.7000 nats per token. It is one seed" in found


def test_runs_on_other_data_are_not_compared() -> None:
    (found,) = sentences([run("one", 4.9), run("two", 4.7, comparable={"data": "other"})])
    assert "differ in data (one: fedcba9876543210, two: other)" in found
    assert "lowest" not in found


def test_runs_without_a_student_are_said() -> None:
    assert sentences([RunData("one", "preparing"), RunData("two", "preparing")]) == [
        "None of the runs has a proposed trial that was trained to the end."
    ]


def test_the_table_has_a_row_per_run_against_its_own_anchors() -> None:
    section = comparison([run("one", 4.9), run("two", 5.3), RunData("three", "preparing")])
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["one", "two", "three"]
    assert [row[6] for row in table.rows] == ["-0.1000", "+0.3000", ""]


def test_every_run_has_its_line_and_its_dots() -> None:
    steps, anchors, finalists = comparison([run("one", 4.9), run("two", 4.7)]).figures
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
