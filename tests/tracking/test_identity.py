"""A search is in a store once, wherever its folder or the store moves; a copy never writes into its original."""

import shutil
import socket
from collections import Counter
from pathlib import Path

import pytest

from palenka_tune.commands import options, track
from palenka_tune.errors import PalenkaError
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.spool import RUNS, SHIPPED, SPOOL, Shipped, Spool
from palenka_tune.tracking.store import bring_along, canonical, connect, database
from palenka_tune.tracking.tags import EXPERIMENT
from palenka_tune.tracking.tracker import Tracker


@pytest.fixture
def storage(sqlite, tmp_path, monkeypatch) -> Path:
    """A storage with a database of its own, as a search makes it by default."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "my runs"
    folder.mkdir()
    shutil.copyfile(database(sqlite[0]), folder / "mlflow.db")
    return folder


def tracker_of(run_dir: Path, tracking_uri: str | None = None) -> Tracker:
    storage = run_dir.parent
    uri = tracking_uri or f"sqlite:///{storage}/mlflow.db"
    return Tracker(
        run_dir, tracking_uri=uri, experiment=EXPERIMENT, artifact_location=(storage / "mlartifacts").as_uri()
    )


def log(run_dir: Path, steps: range, tracking_uri: str | None = None, *, close: bool = True) -> Tracker:
    """Log the steps of a search with one trial, and a file, as a search that is new or resumed does."""
    tracker = tracker_of(run_dir, tracking_uri)
    tags = {"palenka.run": run_dir.name, "palenka.key": "mine", "palenka.search_id": "mine"}
    tracker.start_run("search", name="s", tags=tags)
    tracker.start_run("trial", name="t", parent="search", params={"alpha": 1})
    for step in steps:
        tracker.log_metrics("trial", {"val/ce": 9.0 - step, "train/ce": 9.0 - step}, step)
    (run_dir / f"to-{steps.stop}.txt").write_text("x")
    tracker.log_artifact("search", run_dir / f"to-{steps.stop}.txt")
    for key in ("trial", "search"):
        tracker.end_run(key)
    if close:
        assert tracker.close(60)
    return tracker


def stored(tracking_uri: str) -> dict[str, dict]:
    """{search: {key of a run: steps of its val/ce}} in a store; fails if a search has two runs of a key."""
    client = connect(tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    keys = Counter((run.data.tags["palenka.search_id"], run.data.tags["palenka.key"]) for run in runs)
    assert set(keys.values()) == {1}, keys
    found: dict[str, dict] = {}
    for run in runs:
        assert run.info.status == "FINISHED"
        tags, history = run.data.tags, client.get_metric_history(run.info.run_id, "val/ce")
        found.setdefault(tags["palenka.search_id"], {})[tags["palenka.key"]] = [point.step for point in history]
    return found


def files(storage: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(storage.rglob("*")) if path.is_file()}


def artifacts(storage: Path) -> list[str]:
    return sorted(path.name for path in (storage / "mlartifacts").rglob("*.txt"))


def once(storage: Path, steps: range) -> None:
    (search,) = stored(f"sqlite:///{storage}/mlflow.db").values()
    assert search == {"search": [], "trial": [*steps]}


@pytest.mark.parametrize("by", ["resume", "replay"])
def test_a_moved_storage_goes_on_where_it_is(storage, tmp_path, by):
    log(storage / "run", range(3))
    if by == "replay":  # something still waits
        shipped = Shipped.load(storage / "run")
        shipped.start_over()
        shipped.save(storage / "run")
    moved = tmp_path / "elsewhere" / "new runs"
    moved.parent.mkdir()
    storage.rename(moved)
    if by == "resume":
        log(moved / "run", range(3, 6))
    else:
        assert replay(moved / "run") > 0
    once(moved, range(6) if by == "resume" else range(3))
    assert artifacts(moved) == (["to-3.txt", "to-6.txt"] if by == "resume" else ["to-3.txt"])
    assert not storage.exists()
    client = connect(f"sqlite:///{moved}/mlflow.db")
    (experiment,) = [each for each in client.search_experiments() if each.name == EXPERIMENT]
    runs = client.search_runs([experiment.experiment_id], "tags.`palenka.key` = 'search'")
    assert [file.path for file in client.list_artifacts(runs[0].info.run_id)] == artifacts(moved)


@pytest.mark.parametrize("by", ["resume", "replay"])
def test_a_copied_storage_leaves_its_original_alone(storage, tmp_path, by):
    log(storage / "run", range(3))
    before = files(storage)
    copy = tmp_path / "copy"
    shutil.copytree(storage, copy)
    if by == "resume":
        log(copy / "run", range(3, 6))
    else:
        Spool(copy / "run").append({"op": "artifact", "key": "search", "path": "to-3.txt", "artifact_path": "again"})
        assert replay(copy / "run") == 1
    once(copy, range(6) if by == "resume" else range(3))
    assert len(artifacts(copy)) == 2
    assert files(storage) == before


@pytest.mark.parametrize("by", ["resume", "replay"])
def test_a_storage_that_moves_away_from_its_database_takes_its_artifacts_along(storage, tmp_path, by):
    outside = tmp_path / "outside.db"
    (storage / "mlflow.db").rename(outside)
    uri = f"sqlite:///{outside}"
    log(storage / "run", range(3), uri)
    moved = tmp_path / "moved"
    storage.rename(moved)
    if by == "resume":
        log(moved / "run", range(3, 6), uri)
    else:
        Spool(moved / "run").append({"op": "artifact", "key": "search", "path": "to-3.txt", "artifact_path": "again"})
        assert replay(moved / "run") == 1
    assert len(artifacts(moved)) == 2
    assert not storage.exists()
    assert [len(search) for search in stored(uri).values()] == [2]


def test_artifacts_that_always_were_elsewhere_stay_there(storage, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "mlartifacts"
    elsewhere.mkdir(parents=True)
    client = connect(f"sqlite:///{storage}/mlflow.db")
    experiment = client.create_experiment("x", elsewhere.as_uri())
    bring_along(storage / "mlflow.db", (storage / "mlartifacts").as_uri())
    assert client.get_experiment(experiment).artifact_location == elsewhere.as_uri()


def test_another_spelling_of_the_address_is_the_same_store(storage, tmp_path):
    log(storage / "run", range(3))
    (tmp_path / "link").symlink_to(storage)
    log(storage / "run", range(3, 5), f"sqlite:///{tmp_path}/link/mlflow.db")
    log(storage / "run", range(5, 6), f"sqlite:///{storage}/../{storage.name}/mlflow.db?timeout=9")
    once(storage, range(6))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://Host:5000/", "http://anna:pw@host:5000", True),
        ("https://host/mlflow/?x=1", "https://HOST:443/mlflow", True),
        ("http://host:5000", "http://host:5001", False),
        ("http://host/a", "http://host/b", False),
        ("sqlite:////a/mlflow.db", "sqlite:////b/mlflow.db", False),
    ],
)
def test_spellings_of_an_address(one, other, same):
    assert (canonical(one) == canonical(other)) is same


@pytest.mark.parametrize("by", ["resume", "replay"])
@pytest.mark.parametrize("lost", [(SHIPPED,), (RUNS,), (SHIPPED, RUNS)])
def test_lost_notes_double_nothing(storage, lost, by):
    run = storage / "run"
    log(run, range(3))
    for name in lost:
        (run / name).unlink()
    if by == "replay":
        Spool(run).append({"op": "tags", "key": "trial", "tags": {"a": "b"}})
        assert replay(run) >= 1
    else:
        log(run, range(3, 6))
    once(storage, range(3) if by == "replay" else range(6))


def test_a_lost_store_is_asked_for(storage):
    run = storage / "run"
    log(run, range(3))
    (storage / "mlflow.db").unlink()
    with pytest.raises(PalenkaError, match=r"mlflow.db.* is gone; set MLFLOW_TRACKING_URI"):
        replay(run)
    assert not (storage / "mlflow.db").exists()


def test_a_store_that_was_begun_anew_gets_everything(storage, sqlite):
    log(storage / "run", range(3))
    shutil.copyfile(database(sqlite[0]), storage / "mlflow.db")
    log(storage / "run", range(3, 6))
    once(storage, range(6))


def test_runs_that_a_person_has_deleted_stay_deleted(storage):
    uri = f"sqlite:///{storage}/mlflow.db"
    tracker = log(storage / "run", range(3))
    client = connect(uri)
    for key in ("search", "trial"):
        client.delete_run(tracker.run_id(key))
    Spool(storage / "run").append({"op": "tags", "key": "trial", "tags": {"a": "b"}})
    assert replay(storage / "run") == 1
    assert not client.search_runs([tracker.experiment_id])


def test_runs_of_versions_without_an_identity_are_taken_over(storage):
    uri = f"sqlite:///{storage}/mlflow.db"
    tracker = log(storage / "run", range(3))
    client = connect(uri)
    for key in ("search", "trial"):
        client.delete_tag(tracker.run_id(key), "palenka.search_id")
    log(storage / "run", range(3, 6))
    once(storage, range(6))


@pytest.mark.parametrize("where", ["beside it", "in another storage"])
def test_a_copied_folder_gets_runs_of_its_own_in_a_store_that_both_use(storage, tmp_path, where, caplog):
    uri = f"sqlite:///{storage}/mlflow.db"
    log(storage / "run", range(3))
    copy = storage / "copy" if where == "beside it" else tmp_path / "copies" / "run"
    shutil.copytree(storage / "run", copy)
    log(copy, range(3, 5), uri)
    log(copy, range(5, 6), uri)
    (copy / SHIPPED).unlink()
    log(copy, range(6, 7), uri)
    first, second = sorted(stored(uri).values(), key=lambda search: len(search["trial"]))
    assert first == {"search": [], "trial": [0, 1, 2]}
    assert second == {"search": [], "trial": [*range(7)]}
    assert "belong to" in caplog.text


@pytest.mark.parametrize("what", ["moved", "copied"])
def test_a_folder_from_another_machine_asks_once_what_it_is(sqlite, storage, tmp_path, what, monkeypatch, capsys):
    uri = f"sqlite:///{storage}/mlflow.db"
    far = tmp_path / "far" / "run"
    log(far, range(3), uri)
    here = tmp_path / "here" / "run"
    here.parent.mkdir()
    far.rename(here)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    tracker = log(here, range(3, 6), uri, close=False)
    assert not tracker.close(0.5)
    with pytest.raises(PalenkaError, match=rf"cannot be told from here; say it once with: .*track moved {here}"):
        replay(here)
    assert options.run(track.cli, [what, str(here)]) == 0
    assert "sent" in capsys.readouterr().out
    assert replay(here) == 0
    log(here, range(6, 7), uri)
    searches = sorted(stored(uri).values(), key=lambda search: len(search["trial"]))
    expected = [[*range(7)]] if what == "moved" else [[*range(3)], [*range(7)]]
    assert [search["trial"] for search in searches] == expected


def test_a_copy_at_the_same_path_of_another_machine_is_one_when_that_is_said(storage, monkeypatch, tmp_path):
    uri = f"sqlite:///{storage}/mlflow.db"
    run = tmp_path / "nfs" / "run"
    log(run, range(3), uri)
    monkeypatch.setattr(socket, "gethostname", lambda: "second")
    log(run, range(3, 6), uri)  # a shared file system, as far as anybody can tell
    monkeypatch.setattr(socket, "gethostname", lambda: "third")
    assert options.run(track.cli, ["copied", str(run)]) == 0
    log(run, range(6, 7), uri)
    searches = sorted(stored(uri).values(), key=lambda search: len(search["trial"]))
    assert [search["trial"] for search in searches] == [[*range(6)], [*range(7)]]


@pytest.mark.parametrize("notes", ["as old as the spool", "newer than the spool", "lost"])
def test_a_spool_that_is_older_than_the_store_sends_nothing_twice(storage, notes):
    run = storage / "run"
    log(run, range(3))
    saved = {name: (run / name).read_bytes() for name in (SPOOL, SHIPPED, RUNS)}
    log(run, range(3, 6))
    # the node dies; the next one has what was in the bucket, and its trial reports again what it had reported
    (run / SPOOL).write_bytes(saved[SPOOL])
    if notes == "as old as the spool":
        for name in (SHIPPED, RUNS):
            (run / name).write_bytes(saved[name])
    elif notes == "lost":
        (run / SHIPPED).unlink()
    log(run, range(3, 9))
    once(storage, range(9))
