"""What a trial's run is told: its name, its few metrics, how far it came."""

from __future__ import annotations

import pytest

from palenka_tune.search.mlflow.trials import MlflowObserver
from palenka_tune.tracking.tags import NOTE
from palenka_tune.trials.ledger import Proposal
from palenka_tune.trials.rows import FAILED, PRUNED
from tests.support.recorder import Recorder

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
    observer.started(Proposal("trial-0007", 7, {"alpha": 1.2, "beta": 3.0}, None))
    ((key,), started) = tracker.all("start_run")[0]
    assert (key, started["name"], started["parent"]) == ("trial-0007", "α=1.2 β=3", "search")
    assert started["tags"] == {
        "palenka.run": "first",
        "palenka.trial_id": "trial-0007",
        "palenka.state": "RUNNING",
    }


def test_an_anchor_is_marked_and_says_what_it_is(observer, tracker):
    observer.started(Proposal("trial-0000", 0, {"alpha": 0.0, "beta": 0.0}, "no_distillation"))
    (_, started) = tracker.all("start_run")[0]
    assert started["name"] == "anchor: no distillation"
    assert started["tags"]["palenka.anchor"] == "no_distillation"
    assert "without teachers" in started["tags"][NOTE]


def test_few_metrics_on_the_axis_of_trained_tokens(observer, tracker):
    observer.reported("trial-0007", result(6, val_ce=3.1, val_ppl=22.2))
    logged = tracker.all("log_metrics")
    assert logged == [
        (("trial-0007", {"train/loss": 3.5, "train/ce": 3.0, "train/tokens_per_second": 5.0}), {"step": 60}),
        (("trial-0007", {"val/ce": 3.1, "val/ppl": 22.2}), {"step": 60}),
    ]
    assert tracker.all("set_tags") == [(("trial-0007", {"palenka.rung": "1 of 2"}), {})]
    observer.reported("trial-0007", result(16, val_ce=3.0))
    assert tracker.all("set_tags")[-1] == (("trial-0007", {"palenka.rung": "2 of 2"}), {})


@pytest.mark.parametrize(("state", "status"), [(PRUNED, "KILLED"), (FAILED, "FAILED")])
def test_the_end_is_in_tags_status_and_note(observer, tracker, state, status):
    observer.finished("trial-0007", state, "ASHA stopped it at step 6")
    (((_, tags), _),) = tracker.all("set_tags")
    assert tags["palenka.state"] == state
    assert tags[NOTE] == f"trial-0007: {state}, ASHA stopped it at step 6."
    assert tracker.all("end_run") == [(("trial-0007", status), {})]
