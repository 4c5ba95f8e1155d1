"""Measures the study's storage and MLflow, asked by the driver as a search would; workers need neither.

Nothing is created in them. Every question has a time limit; a driver that hangs beyond it is left behind.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from palenka_tune.doctor.facts import Service
from palenka_tune.doctor.facts.probe import within
from palenka_tune.runs.study import STUDY_STORAGE, study_url
from palenka_tune.storage.mirror import shown
from palenka_tune.tracking.store import brief, connect, redact, sqlite_file

CONNECT_SECONDS = 5
SERVICE_SECONDS = 25.0
PORTS = {"postgresql": 5432, "mysql": 3306, "http": 80, "https": 443, "mssql": 1433}
EXTRAS = {"postgresql": "postgres", "mysql": "mysql"}  # of palenka-tune, with the driver
LOGIN = ("password", "401", "403", "access denied", "role ", "authenti")  # in an error about the login


def study(given: str | None, storage: Path) -> Service:
    """The database of the study, or its file; raises `UserError` for a URL that a search refuses."""
    url = study_url(given)
    if url is None:
        return Service("the study", f"a file in the run's folder in {shown(storage)}")
    return _ask("the study's database", url, "--study-storage" if given else STUDY_STORAGE, _database)


def mlflow(storage: Path) -> Service:
    """MLflow's server or database, or the default one in the storage."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return Service("MLflow", f"SQLite in {storage}", file=str(storage / "mlflow.db"))
    scheme = _scheme(uri)
    if scheme in ("", "file"):
        fix = "give a database, the address of a server (http://...), or unset MLFLOW_TRACKING_URI"
        return Service("MLflow", redact(uri), "it is a folder, which MLflow no longer writes to", fix)
    return _ask("MLflow", uri, "MLFLOW_TRACKING_URI", _server if scheme in ("http", "https") else _database)


def _scheme(url: str) -> str:
    return urlsplit(url).scheme.split("+")[0]


def _ask(name: str, url: str, option: str, action: Callable[[str], None]) -> Service:
    """Run `action` on the URL within a time limit; what it raises is why the service cannot be used."""
    scheme = _scheme(url)
    error, fix = None, f"start it, or correct {option}"
    try:
        within(SERVICE_SECONDS, lambda: action(url))
    except ImportError as missing:
        error = f"its driver {missing.name or brief(missing)} is missing here"
        fix = f"run: pip install 'palenka-tune[{EXTRAS.get(scheme, scheme)}]'"
    except Exception as problem:  # a driver may raise anything
        error = _reason(problem)
        if any(word in error.lower() for word in LOGIN):
            fix = f"give a user and password that it knows ({option}, PGPASSWORD or MLFLOW_TRACKING_PASSWORD)"
        elif "does not exist" in error:
            fix = f"create the database, or correct {option}"
    return Service(name, redact(url), error, fix, None if (path := sqlite_file(url)) is None else str(path))


def _reason(error: BaseException) -> str:
    """One line, without passwords and without the wrapping of SQLAlchemy."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, ConnectionRefusedError):
        return "nothing answers there (connection refused)"
    lines = [line.strip() for line in redact(str(original)).splitlines() if line.strip()]
    return lines[-1][:300] if lines and "Multiple connection" not in lines[-1] else brief(original)


def _knock(url: str) -> None:
    """Open a connection and close it: a host that is away is then known at once, however long a driver would try."""
    parts = urlsplit(url)
    port = parts.port or PORTS.get(_scheme(url))
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()


def _database(url: str) -> None:
    """Log in to a database, in which nothing is created."""
    from sqlalchemy import create_engine, pool, text

    scheme = _scheme(url)
    if scheme == "sqlite":
        path = sqlite_file(url)
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"the folder {path.parent} does not exist")
        if path is None or not path.exists():  # SQLite would create it
            return
    else:
        _knock(url)
    limits = {"connect_timeout": CONNECT_SECONDS} if scheme in EXTRAS else {}
    with create_engine(url, poolclass=pool.NullPool, connect_args=limits).connect() as connection:
        connection.execute(text("SELECT 1"))


def _server(uri: str) -> None:
    """Ask the tracking server for an experiment, with the login that a search would use."""
    _knock(uri)
    connect(uri).search_experiments(max_results=1)
