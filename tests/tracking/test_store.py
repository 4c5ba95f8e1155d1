import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from palenka_tune.errors import UserError
from palenka_tune.tracking import store
from tests.support.mlflow_store import opened


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://anna:s3cret@host:5000/path", "http://host:5000/path"),
        ("postgresql+psycopg2://anna:s3cr@et@db/mlflow?password=s3cret", "postgresql+psycopg2://db/mlflow"),
        ("sqlite:////data/my runs/mlflow.db", "sqlite:////data/my runs/mlflow.db"),
        (
            "API request to https://a:b@host/api failed, mail x@y.z",
            "API request to https://host/api failed, mail x@y.z",
        ),
    ],
)
def test_redact_takes_away_passwords_only(text, clean):
    assert store.redact(text) == clean


def test_default_is_an_absolute_sqlite_store_that_is_ready(sqlite):
    uri, artifacts = sqlite
    path = Path(uri.removeprefix("sqlite:///"))
    assert path.is_absolute()
    assert artifacts == (path.parent / "mlartifacts").as_uri()
    with sqlite3.connect(path) as database:
        assert database.execute("select count(*) from alembic_version").fetchone() == (1,)


def test_the_environment_wins_over_the_default_and_the_argument_over_both(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert opened(None, tmp_path) == ("http://127.0.0.1:9", None)
    assert opened("http://127.0.0.1:10", tmp_path) == ("http://127.0.0.1:10", None)


def test_a_relative_sqlite_uri_becomes_absolute(tmp_path, monkeypatch, sqlite):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.db").write_bytes(Path(sqlite[0].removeprefix("sqlite:///")).read_bytes())  # migrated already
    uri, artifacts = opened("sqlite:///own.db", tmp_path / "storage")
    assert uri == f"sqlite:///{tmp_path / 'own.db'}"
    assert artifacts == (tmp_path / "storage" / "mlartifacts").as_uri()


def test_a_store_that_cannot_be_opened_is_warned_about_only(tmp_path, caplog):
    (tmp_path / "mlflow.db").write_bytes(b"this is no database " * 100)
    uri, _ = opened(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    assert uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert len(caplog.messages) == 1
    assert "cannot be opened" in caplog.messages[0]


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns"])
def test_the_file_store_is_a_mistake_of_the_user(tmp_path, uri):
    with pytest.raises(UserError, match="sqlite:///"):
        opened(uri, tmp_path)


def test_ui_command():
    command = shlex.split(store.ui_command("sqlite:////a b/mlflow.db", Path("/a b")))
    assert command == [
        *("mlflow", "ui", "--backend-store-uri", "sqlite:////a b/mlflow.db"),
        *("--artifacts-destination", "/a b/mlartifacts", "--port", "5000"),
    ]
    page = "#/experiments/7/runs?orderByKey=metrics.%60val%2Fce%60&orderByAsc=true"
    assert store.ui_command("https://u:p@host/mlflow", Path(), "7") == f"https://host/mlflow/{page}"
    assert store.ui_page("sqlite:////a/mlflow.db", "7") == f"http://127.0.0.1:5000/{page}"
    assert store.ui_command("http://host:5000", Path()) == "http://host:5000/"
    assert '"$MLFLOW_TRACKING_URI"' in store.ui_command("postgresql://u:p@db/mlflow", Path())


def test_first_opening_prints_nothing_and_the_users_settings_stay(tmp_path):
    script = (
        "import os, pathlib\n"
        "os.environ['MLFLOW_HTTP_REQUEST_MAX_RETRIES'] = '3'\n"
        "os.environ.pop('MLFLOW_TRACKING_URI', None)\n"
        "from tests.support.mlflow_store import opened\n"
        "import sys; assert 'mlflow' not in sys.modules\n"
        f"opened(None, pathlib.Path({str(tmp_path)!r}))\n"
        "assert os.environ['MLFLOW_HTTP_REQUEST_MAX_RETRIES'] == '3'\n"
        "assert os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT'] == '30'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["a b", "a%20b", "a?b", "a#b", "приём", "a'b", "a%b?c&d"])
def test_any_folder_can_be_the_storage(tmp_path, sqlite, name, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    storage = tmp_path / name
    storage.mkdir()
    (storage / "mlflow.db").write_bytes(store.sqlite_file(sqlite[0]).read_bytes())  # migrated already
    uri, artifacts = opened(None, storage)
    assert store.sqlite_file(uri) == storage / "mlflow.db"
    client = store.connect(uri)
    run = client.create_run(client.create_experiment(f"of {name}", artifacts)).info.run_id
    client.log_text(run, "hello", "said.txt")
    assert [path.read_text() for path in storage.rglob("said.txt")] == ["hello"]
    databases = [path for path in tmp_path.rglob("*") if path.suffix == ".db"]
    assert databases == [storage / "mlflow.db"]  # none beside it, under half of the name
    command = shlex.split(store.ui_command(uri, storage))
    assert command[command.index("--backend-store-uri") + 1] == uri
    assert command[command.index("--artifacts-destination") + 1] == str(storage / "mlartifacts")


def test_the_file_of_a_url_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///own.db", "sqlite+pysqlite:///own.db?timeout=30", "sqlite:///file:own.db?uri=true"):
        assert store.sqlite_file(url) == tmp_path / "own.db"
    for url in ("sqlite://", "sqlite:///:memory:", "postgresql:///runs", "http://host"):
        assert store.sqlite_file(url) is None
