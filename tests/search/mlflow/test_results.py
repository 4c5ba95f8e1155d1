"""Which data MLflow is told of, and what the registry gets."""

from __future__ import annotations

import dataclasses

import pytest

from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.search.mlflow import results
from palenka_tune.spaces.experiment import StudentSettings
from tests.support.recorder import Recorder

BEST = {"trial_id": "trial-0007", "arm": "hidden", "origin": "proposed", "params": {"beta": 3.0}, "val_ce": 4.5}
FIXED = {"trial_id": "trial-0001", "arm": "logits", "origin": "fixed", "params": {"beta": 0.0}, "val_ce": 4.6}
ARMS = {"logits": {"best": FIXED}, "hidden": {"best": BEST}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 300), ("dev", 60)):
        (folder / "story" / split).mkdir(parents=True)
        text = "".join(f"The cat sees {n % 7} dogs near a house .\n" for n in range(count))
        (folder / "story" / split / f"book.{split}").write_text(text)
    return prepare(DataSettings(str(folder / "story"), 300, 16), folder / "runs")


def test_train_and_dev_with_our_fingerprint_and_what_the_student_sees(prepared):
    student = StudentSettings("Student-tiny", train_windows=32, dev_windows=8, offsets=2)
    train, dev = results.datasets(prepared, student)
    assert [each.name for each in (train, dev)] == ["story train", "story dev"]
    assert {train.digest, dev.digest} == {prepared.fingerprint}
    assert [each.context for each in (train, dev)] == ["training", "validation"]
    assert (train.source_type, train.source) == ("local", {"uri": str(prepared.corpus)})
    assert train.profile["num_rows"] == len(prepared.store.windows("train"))
    assert train.tags == {"palenka.windows": "64"}  # 32 in each of two cuts
    assert dev.tags == {"palenka.windows": "8"}
    assert (dev.name, dev.digest) == results.dev_dataset(prepared)


def test_a_dataset_of_the_hub_is_named_as_one(prepared):
    train, _ = results.datasets(dataclasses.replace(prepared, source="anna/story"), StudentSettings("Student-tiny"))
    assert (train.name, train.source_type, train.source) == ("anna/story train", "hugging_face", {"path": "anna/story"})


def test_values_that_may_be_compared_were_measured_on_the_same(prepared):
    few, other, whole = (
        results.measured_on(prepared, StudentSettings("Student-tiny", dev_windows=n)) for n in (8, 9, None)
    )
    assert len({few, other, whole}) == 3
    assert few == results.measured_on(prepared, StudentSettings("Student-tiny", dev_windows=8, train_windows=4))
    assert prepared.fingerprint in few


def registered(summary, tmp_path):
    tracker = Recorder()
    results.register(tracker, tmp_path, summary, "babylm")
    (((key, folder, name), told),) = tracker.all("register_model")
    assert (key, folder, name, told["registered"]) == ("search", tmp_path / "best", "best_student", "babylm")
    return told


def test_the_best_trial_is_registered_with_its_settings(tmp_path):
    told = registered({"best": {**BEST}, "arms": ARMS, "measured_on": "story fe01, 8 dev windows"}, tmp_path)
    assert (told["val_ce"], told["measured_on"]) == (4.5, "story fe01, 8 dev windows")
    assert told["description"].startswith(
        "val/ce 4.5000 nats per token on story fe01, 8 dev windows: hidden: β=3. Search "
    )
    assert told["description"].endswith("trial-0007.")


@pytest.mark.parametrize(("winner", "settings"), [(BEST, "hidden: β=3"), (FIXED, "logits: fixed setting")])
def test_of_a_search_with_fresh_seeds_it_is_the_winners_first_student(tmp_path, winner, settings):
    known = {name: winner[name] for name in ("trial_id", "arm", "params")}
    best = {**known, "val_ce": 4.25, "test_ce": 4.3, "seed": 1, "measured_on": "story fe01, 60 dev"}
    told = registered({"best": best, "arms": ARMS, "measured_on": "x"}, tmp_path)
    assert (told["val_ce"], told["measured_on"]) == (4.25, "story fe01, 60 dev")
    assert f": {settings}. Search" in told["description"]
    assert told["description"].endswith(f"{winner['trial_id']}, trained again with seed 1.")


def test_by_the_posters_objective_the_arms_best_may_be_another_trial(tmp_path):
    best = {"trial_id": "trial-0009", "arm": "hidden", "params": {"beta": 0.1}, "val_ce": 4.25, "seed": 1}
    told = registered({"best": {**best, "measured_on": "x"}, "arms": ARMS, "measured_on": "x"}, tmp_path)
    assert ": hidden: β=0.1. Search" in told["description"]
