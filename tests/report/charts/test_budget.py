"""The budget: every step that was run is counted once."""

from __future__ import annotations

from palenka_tune.report.charts.budget import budget_figure
from tests.report import synthetic
from tests.report.synthetic import TOTAL_STEPS, trial


def test_the_budget_adds_up_to_whole_trainings() -> None:
    trials = (
        *synthetic.fixed()[:2],
        trial(2, {}, "PRUNED"),  # after 225 steps
        trial(3, {}, "PRUNED"),  # after 450
        trial(4, {}, "FAILED"),  # after 20
        trial(5, {}, "RUNNING"),  # not at its end: not counted
    )
    rungs, steps = (chart.body for chart in budget_figure(synthetic.run(trials=trials)).charts)
    assert rungs.names == ["step 225", "step 450", "step 900"]
    by_name = {group.name: [point.x for point in group.points] for group in rungs.groups}
    assert by_name["went on or finished"] == [3, 2, 2]
    assert by_name["stopped here"] == [1, 1, 0]
    assert [group.points[0].x for group in steps.groups] == [1800, 675, 20, 5 * TOTAL_STEPS - 2495]
