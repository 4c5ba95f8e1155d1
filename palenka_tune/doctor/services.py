"""The study's storage and MLflow, asked by the driver as a search would: workers need neither.

In: the URLs that a search would use. Out: a `Service` each, with the reason and the fix where it cannot be used.
Nothing is created in them. Every question has a time limit; a driver that hangs all the same is left behind.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from palenka_tune.doctor.facts import Service
from palenka_tune.doctor.limits import within
from palenka_tune.runs.study import STUDY_STORAGE, study_url
from palenka_tune.storage.mirror import shown
from palenka_tune.tracking.store import brief, connect, redact

CONNECT_SECONDS = 5
SERVICE_SECONDS = 25.0
PORTS = {"postgresql": 5432, "mysql": 3306, "http": 80, "https": 443, "mssql": 1433}
DRIVERS = {"postgresql": "postgres", "mysql": "mysql"}
START = "start it, or correct"


def study(given: str | None, storage: Path) -> Service:
    """The database of the study, or its file; raises `UserError` for a URL that a search refuses."""
    url = study_url(given)
    if url is None:
        return Service("the study", f"a file in the run's folder in {shown(storage)}")
    option = "--study-storage" if given else STUDY_STORAGE
    return _ask("the study's database", url, option, lambda: _database(url))


def mlflow(storage: Path) -> Service:
    """MLflow's server or database, or the default one in the storage."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return Service("MLflow", f"SQLite in {storage}", file=str(storage / "mlflow.db"))
    scheme = _scheme(uri)
    if scheme in ("", "file"):
        fix = "give a database, the address of a server (http://...), or unset MLFLOW_TRACKING_URI"
        return Service("MLflow", redact(uri), "it is a folder, which MLflow no longer writes to", fix)
    action = (lambda: _server(uri)) if scheme in ("http", "https") else (lambda: _database(uri))
    return _ask("MLflow", uri, "MLFLOW_TRACKING_URI", action)


def _scheme(url: str) -> str:
    return urlsplit(url).scheme.split("+")[0]


def _ask(name: str, url: str, option: str, action: Callable[[], Any]) -> Service:
    """Run `action` within a time limit; what it raises is why the service cannot be used."""
    scheme = _scheme(url)
    file = url.partition(":///")[2].partition("?")[0] if scheme == "sqlite" else None
    fix = f"{START} {option}"
    error = None
    try:
        within(SERVICE_SECONDS, action)
    except ImportError as missing:
        error = f"its driver {missing.name or brief(missing)} is missing here"
        fix = f"run: pip install 'palenka-tune[{DRIVERS.get(scheme, scheme)}]'"
    except Exception as problem:  # a driver may raise anything
        error = _reason(problem)
        if any(word in error.lower() for word in ("password", "401", "403", "access denied", "role ", "authenti")):
            fix = f"give a user and password that it knows ({option}, PGPASSWORD or MLFLOW_TRACKING_PASSWORD)"
        elif "does not exist" in error:
            fix = f"create the database, or correct {option}"
    return Service(name, redact(url), error, fix, file)


def _reason(error: BaseException) -> str:
    """One line, without passwords and without the wrapping of SQLAlchemy."""
    original = getattr(error, "orig", None) or error
    lines = [line.strip() for line in redact(str(original)).splitlines() if line.strip()]
    if isinstance(original, ConnectionRefusedError):
        return "nothing answers there (connection refused)"
    return lines[-1][:300] if lines and "Multiple connection" not in lines[-1] else brief(original)


def _knock(url: str) -> None:
    """Open a connection and close it: a host that is away is known at once, whatever the library does."""
    parts = urlsplit(url)
    port = parts.port or PORTS.get(_scheme(url))
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()


def _database(url: str) -> None:
    """Log in and ask for nothing."""
    from sqlalchemy import create_engine, pool, text

    kind = _scheme(url)
    if kind == "sqlite":
        path = Path(url.partition(":///")[2].partition("?")[0])
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder {path.parent} does not exist")
        if not path.exists():  # SQLite would make it
            return
    else:
        _knock(url)
    limits = {"connect_timeout": CONNECT_SECONDS} if kind in DRIVERS else {}
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=limits)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _server(uri: str) -> None:
    """Ask the tracking server for an experiment, with the login that a search would use."""
    _knock(uri)
    connect(uri).search_experiments(max_results=1)
