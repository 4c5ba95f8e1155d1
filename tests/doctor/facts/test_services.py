"""The study's database and MLflow: what is said when they are away, and that nothing is made in them."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from palenka_tune.doctor.facts import services
from palenka_tune.doctor.facts.probe import within
from palenka_tune.errors import UserError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "PALENKA_STUDY_STORAGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_by_default_both_lie_in_the_storage(tmp_path):
    assert services.study(None, tmp_path).error is None
    mlflow = services.mlflow(tmp_path)
    assert mlflow.error is None
    assert mlflow.file == str(tmp_path / "mlflow.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql"])
def test_a_database_that_is_away(tmp_path, monkeypatch, closed_port, scheme):
    monkeypatch.setenv("PALENKA_STUDY_STORAGE", f"{scheme}://me:secret@127.0.0.1:{closed_port}/study")
    found = services.study(None, tmp_path)
    assert found.error == "nothing answers there (connection refused)"
    assert "PALENKA_STUDY_STORAGE" in found.fix
    assert "secret" not in str(found)


def test_a_server_that_is_away(tmp_path, monkeypatch, closed_port):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    found = services.mlflow(tmp_path)
    assert found.error == "nothing answers there (connection refused)"
    assert "MLFLOW_TRACKING_URI" in found.fix


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"You are not authenticated")

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def refusing_server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_server_that_wants_a_login(tmp_path, monkeypatch, refusing_server):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing_server)
    found = services.mlflow(tmp_path)
    assert found.error
    assert "user and password" in found.fix


def test_the_file_store_is_refused_as_the_search_does(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path))
    found = services.mlflow(tmp_path)
    assert found.error
    assert "folder" in found.error


def test_sqlite_is_looked_at_and_not_made(tmp_path):
    assert services.study(f"sqlite:///{tmp_path / 'study.db'}", tmp_path).error is None
    assert not (tmp_path / "study.db").exists()
    sqlite3.connect(tmp_path / "there.db").close()
    assert services.study(f"sqlite:///{tmp_path / 'there.db'}", tmp_path).error is None
    missing = services.study(f"sqlite:///{tmp_path / 'no' / 'study.db'}", tmp_path)
    assert "does not exist" in (missing.error or "")


def test_a_password_on_the_command_line_is_refused(tmp_path):
    with pytest.raises(UserError, match="with a password"):
        services.study("postgresql://me:secret@host/db", tmp_path)


def test_a_time_limit_holds_for_what_has_none():
    assert within(30, lambda: 3) == 3
    with pytest.raises(KeyError):
        within(30, lambda: {}["missing"])
    with pytest.raises(TimeoutError, match="does not answer"):
        within(0.05, lambda: time.sleep(5))
