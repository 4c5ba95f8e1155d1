"""Where a search's time went, in seconds and in full trainings."""

from palenka_tune.runs.cost import FRESH_STEPS, SECONDS, cells, costs
from palenka_tune.trials.rows import COMPLETE, PRUNED, TrialRow

ROWS = [
    TrialRow(trial_id="trial-0000", state=COMPLETE, arm="plain", origin="fixed", settings={}, steps=100, seconds=50.0),
    TrialRow(trial_id="trial-0001", state=PRUNED, arm="plain", origin="start-up", settings={}, steps=50, seconds=25.0),
]
SPENT = {"teachers": 120.0, "trials": 60.0, "fresh seeds": 100.0, "scoring": 20.0}


def test_steps_are_counted_where_there_are_and_time_elsewhere() -> None:
    found = costs({SECONDS: SPENT, FRESH_STEPS: 300}, ROWS, 100)
    # the trials took 60 s for 1.5 trainings, two at a time: 40 s each
    assert {cost.stage: (cost.seconds, cost.trainings) for cost in found} == {
        "teachers": (120.0, 3.0),
        "trials": (60.0, 1.5),
        "fresh seeds": (100.0, 3.0),
        "scoring": (20.0, 0.5),
        "all": (300.0, 8.0),
    }
    assert cells(found)[-1] == ("all", "5 min", "8.0")


def test_what_is_not_known_yet_is_left_out() -> None:
    (teachers, whole) = costs({SECONDS: {"teachers": 120.0}}, [], None)
    assert (teachers.trainings, whole.trainings) == (None, None)
    assert cells([teachers])[0][2] == ""
    assert costs({}, [], None) == []
