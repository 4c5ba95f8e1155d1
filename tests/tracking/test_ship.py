import logging
import shlex
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR

from palenka_tune.commands import options, track
from palenka_tune.errors import PalenkaError
from palenka_tune.storage.file_lock import held
from palenka_tune.tracking import ship
from palenka_tune.tracking.glance import SpoolGlance
from palenka_tune.tracking.ship import OutageError, Shipper, end_open_runs, replay, replay_command
from palenka_tune.tracking.spool import SPOOL, Shipped, Spool, read_events
from palenka_tune.tracking.store import connect


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


def test_an_artifact_store_that_does_not_work_holds_nothing_up_and_gets_its_files_later(
    spooled, run_dir, target, tmp_path, caplog, client, runs_of
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
    assert shipper.aside == 1
    assert SpoolGlance(run_dir, "trial").look().behind == 1
    with pytest.raises(PalenkaError, match=r"did not take everything .*Not a directory"):
        replay(run_dir)
    (tmp_path / "file").unlink()
    assert replay(run_dir) == 1
    assert replay(run_dir) == 0
    assert [file.path for file in client.list_artifacts(runs_of()["trial"].info.run_id)] == ["a.txt"]


@pytest.fixture
def own_store(sqlite, target, tmp_path, monkeypatch):
    """A copy of the store that a test may lock; MLflow waits 20 seconds for a lock, here none."""
    impatient = SimpleNamespace(text=lambda query: sqlalchemy.text(query.replace("20000", "1")))
    monkeypatch.setattr("mlflow.store.db.utils.sql", impatient)
    database = tmp_path / "own.db"
    shutil.copyfile(sqlite[0].removeprefix("sqlite:///"), database)
    return database, {**target, "tracking_uri": f"sqlite:///{database}"}


UNWRITABLE = {  # what stops writes to a table, what ends that, the database's own reason
    "locked": ("BEGIN IMMEDIATE", "ROLLBACK", "database is locked"),
    "damaged": ("ALTER TABLE {} RENAME TO x", "ALTER TABLE x RENAME TO {}", "no such table: {}"),
    "forbidden": (
        "CREATE TRIGGER no BEFORE INSERT ON {} BEGIN SELECT RAISE(FAIL, 'no writes'); END",
        "DROP TRIGGER no",
        "no writes",
    ),
}


@pytest.mark.parametrize(
    ("how", "table"),
    [
        ("locked", "runs"),
        ("locked", "metrics"),
        ("damaged", "metrics"),
        ("forbidden", "runs"),
        ("forbidden", "metrics"),
    ],
)
def test_a_store_that_takes_no_writes_gets_everything_once_it_does(spooled, run_dir, own_store, how, table):
    database, target = own_store
    begin, end, reason = (text.format(table) for text in UNWRITABLE[how])
    shipper = Shipper(run_dir, target["tracking_uri"])
    Shipped(**target).save(run_dir)
    if table == "metrics":  # it happens once the search has begun
        lines = spooled.path.read_bytes().splitlines(keepends=True)
        spooled.path.write_bytes(b"".join(lines[:4]))
        shipper.ship()
        spooled.path.write_bytes(b"".join(lines))
    spooled.append({"op": "end_run", "key": "trial", "status": "FINISHED"})
    other = sqlite3.connect(database, isolation_level=None)
    other.execute(begin)
    for _ in range(6):
        with pytest.raises(OutageError, match=reason):
            shipper.ship()
    other.execute(end)
    other.close()
    shipper.ship()
    client = connect(target["tracking_uri"])
    (run,) = client.search_runs([shipper.experiment_id])
    assert run.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "a")] == list(range(10))


def test_a_read_only_store_gets_everything_once_it_takes_writes(spooled, run_dir, own_store):
    database, target = own_store
    Shipped(**target).save(run_dir)
    client = connect(target["tracking_uri"])
    client.create_experiment(target["experiment"], target["artifact_location"])
    read_only = Shipper(run_dir, f"sqlite:///file:{database}?mode=ro&uri=true")
    for _ in range(6):
        with pytest.raises(OutageError, match="attempt to write a readonly database"):
            read_only.ship()
    assert Shipper(run_dir, target["tracking_uri"]).ship() > 0


class Refusing:
    """A client of a store that fails every write."""

    def __init__(self, client, error):
        self.client, self.error = client, error

    def __getattr__(self, name):
        if name in ("create_run", "update_run", "log_batch", "set_terminated", "log_inputs"):
            return self.fail
        return getattr(self.client, name)

    def fail(self, *_, **__):
        raise self.error


DATABASE = (
    "BAD_REQUEST: ({}) {}\n[SQL: INSERT INTO metrics]\n(Background on this error at: https://sqlalche.me/e/20/{})"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MlflowException("disk I/O error", INTERNAL_ERROR), "disk I/O error"),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "read only"}), "read only"),
        (RestException({"error_code": "RESOURCE_EXHAUSTED", "message": "quota"}), "quota"),
        (
            MlflowException(DATABASE.format("psycopg2.errors.ReadOnlySqlTransaction", "no write", "2j85"), BAD_REQUEST),
            "no write",
        ),
        (
            MlflowException(DATABASE.format("psycopg2.errors.InsufficientPrivilege", "denied", "f405"), BAD_REQUEST),
            "denied",
        ),
        (MlflowException("QueuePool limit of size 5 reached", BAD_REQUEST), "QueuePool"),
        (
            MlflowException("API request to endpoint /api failed with error code 400 != 200. Response", BAD_REQUEST),
            "the server answers with status 400",
        ),
        (
            MlflowException(
                "API request to http://h failed with exception HTTPConnectionPool(host='h'): Max retries exceeded "
                "(Caused by ResponseError('too many 503 error responses'))"
            ),
            "the server answers with status 503",
        ),
        (MlflowException("API request to http://h failed with exception refused"), "the server does not answer"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(28, "No space left on device"), "No space left"),
        (RuntimeError("a driver's own"), "a driver's own"),
    ],
)
def test_what_is_no_refusal_of_the_content_is_kept(spooled, run_dir, target, monkeypatch, error, said, runs_of):
    with monkeypatch.context() as patch:
        patch.setattr(ship, "connect", lambda uri: Refusing(connect(uri), error))
        shipper = Shipper(run_dir, target["tracking_uri"])
        for _ in range(6):
            with pytest.raises(OutageError, match=said):
                shipper.ship()
    replay(run_dir)
    assert runs_of()["trial"].data.metrics == {"a": 9.0}


@pytest.mark.parametrize(
    "error",
    [
        MlflowException(DATABASE.format("psycopg2.errors.NumericValueOutOfRange", "too big", "9h9h"), BAD_REQUEST),
        MlflowException.invalid_parameter_value("too long"),
    ],
)
def test_a_value_that_the_store_cannot_hold_is_skipped(spooled, run_dir, target, caplog, runs_of, error):
    def log_batch(client, run_id, metrics=(), params=(), tags=(), **more):
        if any(metric.value == 4 for metric in metrics):
            raise error
        return real(client, run_id, metrics, params, tags, **more)

    real = MlflowClient.log_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", log_batch)
        assert replay(run_dir) == 12
    client = connect(target["tracking_uri"])
    steps = [point.step for point in client.get_metric_history(runs_of()["trial"].info.run_id, "a")]
    assert steps == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert len(caplog.messages) == 1


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
    assert "ended as KILLED: 1 run left open by a process that died" in said
    assert f"sent 13 events of {run_dir} to MLflow" in said
    assert runs_of()["trial"].info.status == "KILLED"
    assert options.run(track.cli, ["replay", str(run_dir / "none")]) == 1


def test_a_run_that_died_ended_when_it_was_heard_of_last(spooled, run_dir, runs_of, monkeypatch):
    (*_, last) = [event for _, _, event in read_events(spooled.path)]
    monkeypatch.setattr("palenka_tune.tracking.spool.time.time_ns", lambda: (last["time"] + 86_400_000) * 1_000_000)
    assert end_open_runs(run_dir) == 1
    replay(run_dir)
    assert runs_of()["trial"].info.end_time == last["time"]


def test_the_command_that_replays_can_be_pasted():
    folder = "/my runs/it's 1"
    assert shlex.split(replay_command(Path(folder))) == ["python", "-m", "palenka_tune.track", "replay", folder]
