"""The front of students of several sizes."""

import dataclasses

from palenka_tune.report.charts.sizes import front, sizes_figure
from palenka_tune.report.data import Setting
from palenka_tune.report.tables import sizes_table
from palenka_tune.trials.rows import COMPLETE, PRUNED
from tests.report import synthetic
from tests.report.synthetic import trial

LAYERS = Setting("student.layers", "choice", (1, 2, 4))


def sized(number: int, val_ce: float, parameters: int, state: str = COMPLETE):
    made = trial(number, {"student.layers": parameters // 100}, state, val_ce)
    return dataclasses.replace(made, parameters=parameters)


def run(*trials):
    return synthetic.run(settings=(LAYERS,), trials=trials)


def test_the_front_has_no_student_that_a_smaller_one_is_as_good_as() -> None:
    found = run(
        sized(0, 4.0, 400), sized(1, 4.5, 100), sized(2, 4.6, 200), sized(3, 4.2, 200), sized(4, 3.0, 100, PRUNED)
    )
    assert [each.trial_id for each in front(found)] == ["trial-0001", "trial-0003", "trial-0000"]
    (chart,) = sizes_figure(found).charts
    line = chart.body.series[0]
    assert [(point.x, point.y) for point in line.points] == [(100, 4.5), (200, 4.2), (400, 4.0)]
    assert sizes_table(found).rows[0] == ["100", "4.5000", "trial-0001", "hidden", "layers 1"]


def test_one_size_has_no_front() -> None:
    found = run(sized(0, 4.0, 400), sized(1, 4.5, 400))
    assert (front(found), sizes_figure(found), sizes_table(found)) == ([], None, None)
