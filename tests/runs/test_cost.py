"""Where a search's time went, in seconds and in full trainings."""

import time

from optuna.exceptions import StorageInternalError

from palenka_tune.runs import cost
from palenka_tune.runs.cost import FRESH_STEPS, SECONDS, cells, costs, wall_seconds
from palenka_tune.runs.study import new_study, open_study
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


def test_all_wall_time_is_that_of_the_stages_or_what_an_earlier_version_counted() -> None:
    assert wall_seconds({SECONDS: SPENT, "seconds": 7.0}) == 300.0
    assert (wall_seconds({"seconds": 7.0}), wall_seconds({})) == (7.0, 0.0)


def test_a_killed_process_leaves_the_time_that_its_stage_had_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "EVERY", 0.01)
    study = new_study(tmp_path, None)
    study.set_user_attr(SECONDS, {cost.TRIALS: 100.0, cost.CACHE: 7.0})
    with cost.timed(study, cost.TRIALS):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            seen = open_study(tmp_path, None, read_only=True).user_attrs[SECONDS]  # what a later process would read
            if seen[cost.TRIALS] > 100.0:
                break
        assert seen[cost.TRIALS] > 100.0
    ended = study.user_attrs[SECONDS]
    assert ended[cost.TRIALS] >= seen[cost.TRIALS]
    assert ended[cost.CACHE] == 7.0


def test_a_study_that_takes_no_notes_ends_no_stage(tmp_path, monkeypatch):
    """What ails it is said by what needs it."""
    monkeypatch.setattr(cost, "EVERY", 0.01)
    study = new_study(tmp_path, None)

    def away(*_):
        raise StorageInternalError("away")

    monkeypatch.setattr(study, "set_user_attr", away)
    with cost.timed(study, cost.TRIALS):
        time.sleep(0.05)
