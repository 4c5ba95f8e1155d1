"""What a trial's run is told: its name, its few metrics, how far it came."""

from __future__ import annotations

import pytest

from palenka_tune.search.mlflow.trials import MlflowObserver
from palenka_tune.tracking.tags import NOTE
from palenka_tune.tracking.tracker import Tracker
from palenka_tune.trials.ledger import Proposal
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED, PRUNED, TrialRow
from tests.faults.searches import events
from tests.support.recorder import Recorder

PROPOSAL = Proposal("trial-0007", 7, {"alpha": 1.2, "beta": 3.0}, "hidden", "proposed")
TERMS = {"total": 3.5, "ce": 3.0, "kl": 0.25, "hidden": 0.5}


@pytest.fixture
def tracker():
    return Recorder()


@pytest.fixture
def observer(tracker):
    return MlflowObserver(tracker, lambda proposal: {"alpha": 1.0}, {"palenka.run": "first"}, rungs=[6, 16])


def result(steps: int, **measured: float):
    record = {"step": steps, "tokens": steps * 10, "lr": 0.1, "tokens_per_second": 5.0, "terms": TERMS}
    return {**measured, "steps": steps, "tokens": steps * 10, "history": [record]}


def test_a_trial_is_named_by_its_settings_and_found_by_its_id(observer, tracker):
    observer.started(PROPOSAL)
    ((key,), started) = tracker.all("start_run")[0]
    assert (key, started["name"], started["parent"]) == ("trial-0007", "trial-0007, hidden: α=1.2 β=3", "search")
    assert started["tags"] == {
        "palenka.run": "first",
        "palenka.trial_id": "trial-0007",
        "palenka.state": "RUNNING",
        "palenka.arm": "hidden",
        "palenka.origin": "proposed",
    }


@pytest.mark.parametrize(
    ("arm", "text"),
    [("plain", "without teachers"), ("logits", "from logits alone"), ("hidden", "with logits and hidden states")],
)
def test_a_fixed_setting_is_marked_and_says_what_it_is(observer, tracker, arm, text):
    observer.started(Proposal("trial-0000", 0, {"alpha": 0.0, "beta": 0.0}, arm, "fixed"))
    (_, started) = tracker.all("start_run")[0]
    assert started["name"] == f"trial-0000, {arm}: fixed setting"
    assert (started["tags"]["palenka.arm"], started["tags"]["palenka.origin"]) == (arm, "fixed")
    assert text in started["tags"][NOTE]


def test_few_metrics_on_the_axis_of_trained_tokens(observer, tracker):
    observer.reported("trial-0007", result(6, val_ce=3.1, val_ppl=22.2))
    logged = tracker.all("log_metrics")
    assert logged == [
        (("trial-0007", {"val/ce": 3.1, "val/ppl": 22.2}), {"step": 60}),
        (
            ("trial-0007", {"diagnostics/train_loss": 3.5, "train/ce": 3.0, "train/tokens_per_second": 5.0}),
            {"step": 60},
        ),
    ]
    assert tracker.all("set_tags") == [(("trial-0007", {"palenka.rung": "1 of 2"}), {})]
    observer.reported("trial-0007", result(16, val_ce=3.0))
    assert tracker.all("set_tags")[-1] == (("trial-0007", {"palenka.rung": "2 of 2"}), {})


@pytest.mark.parametrize(("state", "status"), [(PRUNED, "FINISHED"), (FAILED, "FAILED")])
def test_the_end_is_in_tags_status_and_note(observer, tracker, state, status):
    observer.finished("trial-0007", state, "ASHA paused it at step 6")
    (((_, tags), _),) = tracker.all("set_tags")
    assert tags["palenka.state"] == state
    assert tags[NOTE] == f"trial-0007: {state}, ASHA paused it at step 6."
    assert tracker.all("end_run") == [(("trial-0007", status), {"ended": None})]


def test_a_trial_whose_end_was_not_told_ended_when_it_was_heard_of_last(observer, tracker):
    tracker.is_open, tracker.last_heard = (lambda key: True), (lambda key: 12.5)
    observer.settle([(PROPOSAL, row_of(COMPLETE))])
    assert tracker.all("end_run") == [(("trial-0007", "FINISHED"), {"ended": 12.5})]


def test_a_paused_trial_has_no_open_run_until_it_goes_on(observer, tracker):
    observer.started(PROPOSAL)
    observer.finished("trial-0007", PAUSED, None)
    assert tracker.all("set_tags")[-1] == (("trial-0007", {"palenka.state": "PAUSED"}), {})
    assert tracker.all("end_run") == [(("trial-0007", "FINISHED"), {"ended": None})]
    observer.close()
    assert len(tracker.all("end_run")) == 1
    observer.started(PROPOSAL)
    assert tracker.all("start_run")[-1][1]["tags"]["palenka.state"] == "RUNNING"
    observer.finished("trial-0007", COMPLETE, None)
    assert tracker.all("end_run")[-1] == (("trial-0007", "FINISHED"), {"ended": None})


def row_of(state: str, steps: int = 0, **curve: float) -> TrialRow:
    measured = {int(name[1:]): value for name, value in curve.items()}
    terms = {"val_kl": 0.5} if state == COMPLETE else {}
    return TrialRow(
        "trial-0007", state, "hidden", "proposed", {}, steps=steps, tokens=steps * 10, curve=measured, **terms
    )


@pytest.fixture
def go_on(tmp_path):
    """Settles what the study knows in a search whose spool holds `told`, and returns what that added to it: {metric:
    {step: value}}, the states, and how the run ended."""

    def settled(state, steps, told=(), **curve):
        tracker = Tracker(tmp_path, tracking_uri="http://127.0.0.1:9", experiment="x")
        observer = MlflowObserver(tracker, lambda proposal: {}, {}, rungs=[6, 16])
        for step in told:
            observer.started(PROPOSAL)
            observer.reported("trial-0007", {"val_ce": 5.0, "steps": step, "tokens": step * 10})
            observer.finished("trial-0007", PAUSED, None)
        before = len([*events(tmp_path)])
        observer.settle([(PROPOSAL, row_of(state, steps, **curve))])
        new = [*events(tmp_path)][before:]
        observer.settle([(PROPOSAL, row_of(state, steps, **curve))])
        assert len([*events(tmp_path)]) == before + len(new)  # told once
        tracker.close(0.0)
        points = {(name, e["step"]): v for e in new if e["op"] == "metrics" for name, v in e["metrics"].items()}
        states = [e["tags"]["palenka.state"] for e in new if "palenka.state" in e.get("tags", {})]
        return points, states, [e["status"] for e in new if e["op"] == "end_run"]

    return settled


def test_a_search_that_goes_on_elsewhere_tells_of_a_trial_that_its_spool_never_heard_of(go_on):
    points, states, ends = go_on(COMPLETE, 20, s6=4.0, s16=3.5, s20=3.25)
    assert points == {("val/ce", 60): 4.0, ("val/ce", 160): 3.5, ("val/ce", 200): 3.25, ("val/kl", 200): 0.5}
    assert (states, ends) == (["RUNNING", COMPLETE], ["FINISHED"])


def test_it_tells_what_came_after_the_copy_of_its_spool(go_on):
    points, states, ends = go_on(COMPLETE, 20, told=[6], s6=4.0, s16=3.5, s20=3.25)
    assert points == {("val/ce", 160): 3.5, ("val/ce", 200): 3.25, ("val/kl", 200): 0.5}
    assert (states, ends) == (["RUNNING", COMPLETE], ["FINISHED"])


def test_it_tells_that_a_paused_trial_was_pruned(go_on):
    assert go_on(PRUNED, 6, told=[6], s6=4.0) == ({}, ["RUNNING", PRUNED], ["FINISHED"])


@pytest.mark.parametrize(("state", "steps"), [(PAUSED, 6), ("RUNNING", 12), ("RUNNING", 0)])
def test_it_says_nothing_of_a_trial_that_rests_or_will_go_on(go_on, state, steps):
    assert go_on(state, steps, told=[6], s6=4.0) == ({}, [], [])
