"""The MLflow store behind a search: which one, its first opening, and the command that shows the runs.

A user gives its tracking URI, or none; from it and the storage folder come an absolute URI, the place of the artifacts
and a quiet `MlflowClient`. Passwords never leave this module.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import shlex
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.storage import file_lock
from palenka_tune.storage.mirror import remote_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_DEFAULTS = {
    # By default a dead server costs minutes a call, which would hold back the shipping thread for as long.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # The terminal belongs to the search.
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A search talks to its tracking server only.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
ARTIFACTS = "mlartifacts"  # the folder of a storage in which MLflow's artifacts are
_ADDRESSES = (  # tables and columns of MLflow's database with addresses of artifacts
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def connect(tracking_uri: str) -> MlflowClient:
    """A client of the store that gives up on a dead server within seconds and prints nothing.

    The settings are environment variables of this process; one that the user has set stays as it is.
    """
    client_class = _import()
    level = os.environ["MLFLOW_LOGGING_LEVEL"].upper()
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):  # also if mlflow was imported before us
        logging.getLogger(name).setLevel(level)
    # it logs the traceback of a full or locked database, which the shipper reports in a line
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return client_class(tracking_uri=tracking_uri)


def _import() -> type[MlflowClient]:
    """MLflow with our settings in place before it reads them."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient


def redact(text: str) -> str:
    """`text` without the `user:password@` and the query of any URI in it (a query may hold a password too)."""
    text = re.sub(r"(\w+://)[^/\s'\"]*@", r"\1", text)
    return re.sub(r"(\w+://[^\s'\"?]+)\?[^\s'\"]*", r"\1", text)


def canonical(tracking_uri: str) -> str:
    """An address without what does not tell two stores apart: password, query, case of the host, a slash at its end."""
    parts = urlsplit(redact(tracking_uri))
    host, port = (parts.hostname or ""), {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    if parts.netloc != "" and (number := re.search(r":\d+$", parts.netloc)) and number[0] != port:
        host += number[0]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def database(tracking_uri: str) -> Path | None:
    """The file of an SQLite store; None for any other."""
    if urlsplit(tracking_uri).scheme.split("+")[0] != "sqlite":
        return None
    path = tracking_uri.partition(":///")[2].partition("?")[0]
    return Path(path).absolute() if path and not path.startswith("file:") else None


def bring_along(path: Path, here: str) -> None:
    """Have the database of a storage that was moved or copied name its artifacts `here`, not those of the old place.

    MLflow keeps where artifacts are as absolute addresses. They change if the storage that they name is gone, or if
    database and artifacts came along together; artifacts that always were elsewhere stay there.
    """
    from mlflow.tracking._tracking_service import utils

    beside = path.parent / ARTIFACTS
    together = beside.exists() and here == beside.as_uri()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return  # MLflow has not opened it yet
        for (there,) in connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall():
            parts = urlsplit(str(there))
            if parts.scheme != "file" or not there.endswith(f"/{ARTIFACTS}") or there == here:
                continue
            if Path(unquote(parts.path)).parent.exists() and not together:
                continue
            utils._artifact_repos_cache.clear()  # what this process has seen of the old place
            for table, column in _ADDRESSES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                    (here, len(there) + 1, len(there) + 1, f"{there}/"),
                )


@dataclass(frozen=True)
class Store:
    """Where runs go: the absolute tracking URI and the place of the artifacts (None where a server chooses it).

    `opening` is the thread that opens a database for the first time; wait for it before writing.
    """

    uri: str
    artifacts: str | None
    opening: threading.Thread | None = None


def begin(tracking_uri: str | None, storage: Path) -> Store:
    """Find the store and begin to open it.

    An explicit `tracking_uri` comes first, then `MLFLOW_TRACKING_URI`, then SQLite in the storage folder. A database is
    opened once, on a thread since it can take seconds: its first opening migrates it, and processes that do so at the
    same time spoil it. A store that cannot be reached is only warned about: the spool takes over. Raises `UserError`
    for the file store.
    """
    storage = storage.expanduser().absolute()
    storage.mkdir(parents=True, exist_ok=True)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(storage / "mlflow.db")
    scheme = urlsplit(uri).scheme.split("+")[0]
    if scheme in ("", "file"):
        raise UserError(
            f"the MLflow tracking URI '{redact(uri)}' is a folder, which MLflow no longer writes to; give a database "
            f"('{sqlite_url(storage / 'mlflow.db')}'), the address of a server (http://...), or nothing for the default"
        )
    if scheme not in _DATABASES:
        connect(uri)  # imports mlflow here, on the main thread: two threads importing it at once can fail
        return Store(uri, None)
    if (path := sqlite_file(uri)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_database(uri)
        uri = _with_file(uri, path)
    _import()  # on the main thread, as above; the client itself opens the database
    opening = threading.Thread(target=_open, args=(uri, storage), name="mlflow-opening", daemon=True)
    opening.start()
    return Store(uri, _artifacts(storage), opening)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite database; characters that mean something in a URL are escaped."""
    from sqlalchemy import URL, make_url

    plain = f"sqlite:///{path}"
    if make_url(plain).database == str(path):
        return plain
    return URL.create("sqlite", database=str(path)).render_as_string()


def sqlite_file(url: str) -> Path | None:
    """The absolute path of the database of a SQLite URL; None for another database, and for one in memory."""
    if urlsplit(url).scheme.partition("+")[0] != "sqlite":
        return None
    from sqlalchemy import make_url

    place = make_url(url).database or ""
    if place.startswith("file:"):  # a URI that SQLite itself reads
        place = unquote(place.removeprefix("file:").partition("?")[0])
    return None if place in ("", ":memory:") else Path(place).absolute()


def _with_file(url: str, path: Path) -> str:
    """The SQLite URL with an absolute path, whatever the folder of the process that reads it."""
    from sqlalchemy import make_url

    database = make_url(url).database or ""
    if database.startswith("file:") or Path(database).is_absolute():
        return url
    return make_url(url).set(database=str(path)).render_as_string(hide_password=False)


def make_database(url: str) -> None:
    """Make the file of a SQLite URL if there is none: SQLite would make one that the user's group cannot write to,
    whatever the umask."""
    if (path := sqlite_file(url)) is not None and path.parent.is_dir() and not path.exists():
        path.touch()


def _artifacts(storage: Path) -> str:
    """Where artifacts go: into a remote storage too, if the library with which MLflow writes there is installed."""
    found = remote_of(storage)
    if found is not None:
        library = {"s3": "boto3", "gs": "google.cloud.storage"}.get(found[0].url.partition(":")[0])
        try:
            if library is None or importlib.util.find_spec(library) is not None:
                return f"{found[0].url}/{ARTIFACTS}"
        except ModuleNotFoundError:
            pass
    return (storage / ARTIFACTS).as_uri()


def _open(uri: str, storage: Path) -> None:
    try:
        with file_lock.held(storage / ".mlflow.lock", timeout=120.0):
            connect(uri).search_experiments(max_results=1)
    except Exception as error:  # a driver may raise anything, and tracking must not stop a search
        logger.warning(
            "MLflow at %s cannot be opened (%s); what is logged is kept for later", redact(uri), brief(error)
        )


def ui_command(tracking_uri: str, storage: Path, experiment_id: str | None = None) -> str:
    """What a person runs to see the runs, or opens in a browser where a server shows them."""
    if urlsplit(tracking_uri).scheme in ("http", "https"):
        return ui_page(tracking_uri, experiment_id)
    # A password is not printed: the shell takes the URI from where the user keeps it.
    is_safe = urlsplit(tracking_uri).scheme.startswith("sqlite") or redact(tracking_uri) == tracking_uri
    uri = shlex.quote(tracking_uri) if is_safe else '"$MLFLOW_TRACKING_URI"'
    artifacts = shlex.quote(str(storage.expanduser().absolute() / ARTIFACTS))
    return f"mlflow ui --backend-store-uri {uri} --artifacts-destination {artifacts} --port 5000"


def ui_page(tracking_uri: str, experiment_id: str | None) -> str:
    """The address of the experiment's runs, the lowest val/ce first: on the server, or once `ui_command` runs."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        parts = urlsplit("http://127.0.0.1:5000")
    site = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + "/", "", ""))
    order = f"orderByKey={quote('metrics.`val/ce`', safe='')}&orderByAsc=true"
    return f"{site}#/experiments/{experiment_id}/runs?{order}" if experiment_id else site


def brief(error: BaseException) -> str:
    """An error in a line, without passwords: a database's own reason, a server that is away in plain words, else the
    first line."""
    text = redact(str(error)).strip()
    if text.startswith("API request to ") and " failed with " in text:
        answer = re.search(r"failed with error code (\d+)|too many (\d+) error", text)
        return f"the server answers with status {answer[1] or answer[2]}" if answer else "the server does not answer"
    reason = re.search(r"^(?:\w+: )?\(\w+(?:\.\w+)+\) .*", text, re.MULTILINE)  # SQLAlchemy may say more before it
    return (reason[0] if reason else text.partition("\n")[0])[:300] or type(error).__name__


def code(error: BaseException) -> str:
    """MLflow's name of an error, or its class."""
    return str(getattr(error, "error_code", type(error).__name__))


def refused(error: BaseException) -> bool:
    """Whether the store refuses this event for its content, so that trying again cannot help.

    A store that takes no writes (locked, read-only, full, forbidden, away, an unknown error) refuses nothing: it is to
    be tried again. MLflow reports most errors of a database as BAD_REQUEST, also through a server; of these only a
    value that the database cannot hold is one of the content.
    """
    if code(error) == "BAD_REQUEST":
        from sqlalchemy.exc import DataError

        return re.search(rf"sqlalche\.me/e/\d+/{DataError.code}\b", str(error)) is not None
    return isinstance(error, PalenkaError) or code(error) in _REFUSALS
