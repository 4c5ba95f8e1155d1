import logging
import shlex
from pathlib import Path

import pytest

from palenka_tune.commands import options, track
from palenka_tune.errors import PalenkaError
from palenka_tune.storage.file_lock import held
from palenka_tune.tracking.ship import OutageError, Shipper, end_open_runs, replay, replay_command
from palenka_tune.tracking.spool import SPOOL, Shipped, Spool


@pytest.fixture
def spooled(run_dir, target):
    """A spool of one run with ten steps that nobody has shipped."""
    spool = Spool(run_dir)
    Shipped(**target).save(run_dir)
    spool.append({"op": "start_run", "key": "trial", "name": "t", "parent": None, "tags": {}, "params": {}})
    for step in range(10):
        spool.append({"op": "metrics", "key": "trial", "metrics": {"a": float(step)}, "step": step})
    return spool


def test_replay_ships_what_waits_once(spooled, run_dir, client, runs_of):
    assert replay(run_dir) == 12
    assert replay(run_dir) == 0
    assert len(client.get_metric_history(runs_of()["trial"].info.run_id, "a")) == 10
    assert Shipped.load(run_dir).offset == spooled.path.stat().st_size


def test_a_damaged_line_costs_that_line_only(spooled, run_dir, client, runs_of, caplog):
    lines = spooled.path.read_bytes().splitlines(keepends=True)
    lines[4] = b"\x00\x00\n"
    spooled.path.write_bytes(b"".join(lines))
    assert replay(run_dir) == 12
    steps = [point.step for point in client.get_metric_history(runs_of()["trial"].info.run_id, "a")]
    assert steps == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert "line 5" in caplog.text


def test_an_artifact_store_that_never_works_is_given_up_after_five_tries(
    spooled, run_dir, target, tmp_path, caplog, runs_of
):
    # The experiment's artifacts lie below a plain file, so that each upload fails while the store answers.
    (tmp_path / "file").write_text("x")
    Shipped(**{**target, "artifact_location": (tmp_path / "file" / "below").as_uri()}).save(run_dir)
    (tmp_path / "a.txt").write_text("a")
    spooled.append({"op": "artifact", "key": "trial", "path": str(tmp_path / "a.txt"), "artifact_path": None})
    spooled.append({"op": "end_run", "key": "trial", "status": "FINISHED"})
    shipper = Shipper(run_dir, target["tracking_uri"])
    for _ in range(4):
        with pytest.raises(OutageError):
            shipper.ship()
    assert not caplog.messages
    shipper.ship()
    assert runs_of()["trial"].info.status == "FINISHED"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_only_one_process_ships_a_folder(spooled, run_dir):
    with held(run_dir / ".mlflow.lock"), pytest.raises(PalenkaError, match="is being sent by process"):
        replay(run_dir)


def test_runs_that_another_process_created_are_known(spooled, run_dir, target, runs_of):
    ours, another = Shipper(run_dir, target["tracking_uri"]), Shipper(run_dir, target["tracking_uri"])
    spooled.append({"op": "metrics", "key": "nobody", "metrics": {"a": 1.0}, "step": 1})  # makes ours ask the store
    ours.ship()
    spooled.append({"op": "start_run", "key": "late", "name": "l", "parent": "trial", "tags": {}, "params": {}})
    another.ship()
    spooled.append({"op": "metrics", "key": "late", "metrics": {"a": 1.0}, "step": 1})
    ours.ship()
    assert runs_of()["late"].data.metrics == {"a": 1.0}


def test_a_folder_without_a_spool_is_named(tmp_path):
    with pytest.raises(PalenkaError, match=SPOOL):
        replay(tmp_path)


def test_a_deleted_experiment_is_taken_back(spooled, run_dir, target, client, runs_of):
    experiment = client.create_experiment(target["experiment"], target["artifact_location"])
    client.delete_experiment(experiment)
    assert replay(run_dir) == 12
    assert runs_of()["trial"].info.experiment_id == experiment


def test_runs_that_a_dead_process_left_open_end_as_killed(spooled, run_dir, runs_of):
    spooled.append({"op": "start_run", "key": "ended", "name": "e", "parent": "trial", "tags": {}, "params": {}})
    spooled.append({"op": "end_run", "key": "ended", "status": "FINISHED"})
    replay(run_dir)
    assert runs_of()["trial"].info.status == "RUNNING"
    assert end_open_runs(run_dir) == 1
    assert end_open_runs(run_dir) == 0
    assert replay(run_dir) == 1
    assert {key: run.info.status for key, run in runs_of().items()} == {"trial": "KILLED", "ended": "FINISHED"}


def test_the_command_says_what_it_did(spooled, run_dir, runs_of, capsys):
    assert options.run(track.cli, ["replay", str(run_dir)]) == 0
    said = capsys.readouterr().out
    assert "1 runs were left open by a process that died, and end as KILLED" in said
    assert f"sent 13 events of {run_dir} to MLflow" in said
    assert runs_of()["trial"].info.status == "KILLED"
    assert options.run(track.cli, ["replay", str(run_dir / "none")]) == 1


def test_the_command_that_replays_can_be_pasted():
    folder = "/my runs/it's 1"
    assert shlex.split(replay_command(Path(folder))) == ["python", "-m", "palenka_tune.track", "replay", folder]
