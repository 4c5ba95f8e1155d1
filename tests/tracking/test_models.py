"""The best student as a logged model and as versions of a registered one."""

from __future__ import annotations

import pytest

from palenka_tune.errors import UserError
from palenka_tune.tracking.models import check_model_name
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.spool import RUNS, Shipped
from palenka_tune.tracking.tracker import Tracker
from tests.support.logged_student import DEV, log, student


def search(run_dir, target, folder, val_ce: float, **options) -> Tracker:
    """A whole search that logs its student and has it registered."""
    tracker = Tracker(run_dir, **target)
    tracker.start_run("search", name=run_dir.name)
    log(tracker, folder, val_ce, **options)
    tracker.end_run("search")
    assert tracker.close(120)
    return tracker


def forget(run_dir) -> None:
    """As after a crash that lost what we knew of the store."""
    shipped = Shipped.load(run_dir)
    shipped.seq, shipped.offset = -1, 0
    shipped.save(run_dir)
    (run_dir / RUNS).unlink()


def test_the_model_has_metrics_settings_and_signature_and_so_has_the_run(client, run_dir, target, tmp_path):
    tracker = search(run_dir, target, student(tmp_path / "best", "a"), 2.5)
    (found,) = client.search_logged_models([tracker.experiment_id])
    model = client.get_logged_model(found.model_id)
    assert model.params == {"alpha": "1.5", "projection.rank": "None"}
    measured = {metric.key: (metric.value, metric.step, metric.dataset_digest) for metric in model.metrics}
    assert measured == {"val/ce": (2.5, 512, DEV[1]), "eval/order": (0.75, 512, DEV[1])}
    assert client.get_run(tracker.run_id("search")).data.metrics == {"val/ce": 2.5, "eval/order": 0.75}
    assert client.get_run(tracker.run_id("search")).data.params == {}
    forget(run_dir)
    replay(run_dir)
    assert len(client.search_logged_models([tracker.experiment_id])) == 1
    assert [(point.step, point.value) for point in client.get_metric_history(model.source_run_id, "val/ce")] == [
        (512, 2.5)
    ]


def test_a_student_takes_the_place_of_an_older_one_and_one_that_is_gone_is_left_out(client, run_dir, target, tmp_path):
    folder = student(tmp_path / "best", "a")
    tracker = Tracker(run_dir, **target)
    tracker.start_run("search", name="s")
    log(tracker, folder, 2.5)
    assert tracker.flush(120)
    log(tracker, student(folder, "b"), 2.0)
    assert tracker.close(120)
    (found,) = client.search_logged_models([tracker.experiment_id])
    model = client.get_logged_model(found.model_id)
    assert [metric.value for metric in model.metrics if metric.key == "val/ce"] == [2.0]
    # another store gets everything from the beginning, but the first student is not on disk any more
    moved = Tracker(run_dir, **{**target, "experiment": f"{target['experiment']}-moved"})
    assert moved.close(120)
    (model,) = client.search_logged_models([moved.experiment_id])
    assert {metric.value for metric in client.get_logged_model(model.model_id).metrics} == {2.0, 0.75}


def test_an_older_student_that_is_registered_stays(client, run_dir, target, tmp_path):
    tracker = search(run_dir, target, student(tmp_path / "best", "a"), 2.5, registered="kept")
    search(run_dir, target, student(tmp_path / "best", "b"), 2.0)
    search(run_dir, target, student(tmp_path / "best", "c"), 1.9)
    models = client.search_logged_models([tracker.experiment_id])
    values = [m.value for each in models for m in client.get_logged_model(each.model_id).metrics if m.key == "val/ce"]
    assert sorted(values) == [1.9, 2.5]


def test_champion_and_challenger_by_val_ce_on_the_same_data(client, target, tmp_path):
    name = "babylm-58m"
    folders = [student(tmp_path / f"best{n}", str(n)) for n in range(4)]
    elsewhere = "other, 8 dev windows"
    for n, (val_ce, measured_on) in enumerate([(2.5, None), (2.75, None), (2.25, None), (1.0, elsewhere)]):
        data = {"measured_on": measured_on} if measured_on else {}
        search(tmp_path / f"run{n}", target, folders[n], val_ce, registered=name, **data)
    model = client.get_registered_model(name)
    assert {alias: int(version) for alias, version in model.aliases.items()} == {"champion": 3, "challenger": 4}
    said = [client.get_model_version(name, str(n)).description.partition("\n\n")[2] for n in (1, 2, 3, 4)]
    assert said[0] == "Champion: the first of this name."
    assert said[1] == "Challenger: its val/ce is not lower than the 2.5000 of the champion, version 1."
    assert said[2] == "Champion: its val/ce is lower than the 2.5000 of version 1."
    assert said[3].startswith("Challenger: measured on other data (other, 8 dev windows) than the champion, version 3")
    # replaying an old search makes no version and moves no alias, whatever has happened since
    for n in range(4):
        forget(tmp_path / f"run{n}")
        replay(tmp_path / f"run{n}")
    assert client.get_registered_model(name).aliases == model.aliases
    assert len(client.search_model_versions(f"name = '{name}'")) == 4
    third = client.get_model_version(name, "3")
    assert third.description == f"val/ce 2.25: α=1.5\n\n{said[2]}"
    assert client.get_run(third.run_id).info.run_name == "run2"
    assert client.get_model_version_download_uri(name, "3").startswith(target["artifact_location"])


def test_a_champion_whose_tags_a_person_took_away_keeps_its_alias(client, target, tmp_path):
    search(tmp_path / "one", target, student(tmp_path / "a", "a"), 2.5, registered="touched")
    client.delete_model_version_tag("touched", "1", "palenka.val_ce")
    search(tmp_path / "two", target, student(tmp_path / "b", "b"), 2.0, registered="touched")
    assert {k: int(v) for k, v in client.get_registered_model("touched").aliases.items()} == {
        "champion": 1,
        "challenger": 2,
    }
    assert "has no val/ce to compare with" in client.get_model_version("touched", "2").description


def test_a_model_that_is_not_there_is_not_registered_and_stops_nothing(client, run_dir, target, tmp_path, caplog):
    tracker = Tracker(run_dir, **target)
    tracker.start_run("search", name="s")
    tracker.register_model(
        "search",
        tmp_path,
        "best_student",
        registered="nothing",
        val_ce=1.0,
        measured_on="x",
        description="d",
    )
    tracker.end_run("search")
    assert tracker.close(60)
    assert "is not in MLflow, so it cannot be registered as nothing" in caplog.text
    assert client.get_run(tracker.run_id("search")).info.status == "FINISHED"
    assert "nothing" not in [model.name for model in client.search_registered_models()]


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "../x", ".", "-x", "a b", "α", "x" * 201])
def test_names_that_the_registry_or_a_uri_cannot_have(name):
    with pytest.raises(UserError, match="cannot be a registered model's name"):
        check_model_name(name)


@pytest.mark.parametrize("name", ["babylm", "main.models.babylm-58m", "X_1"])
def test_names_that_it_can(name):
    from mlflow.utils.validation import _validate_model_name

    assert check_model_name(name) == name
    _validate_model_name(name)
