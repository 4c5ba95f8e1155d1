"""PostgreSQL for the study and for MLflow, from Debian's package: `python -m tests.faults.postgres`.

A server of its own is made in a temporary folder and listens on loopback only. A search that keeps everything in it,
killed once on the way, must come to the result of one that keeps its study in the journal.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.mlflow_outage import compare, ended
from tests.faults.mlflow_outage import good as in_mlflow
from tests.faults.searches import Place, kill, outcome, run_again, undisturbed, wait_for


def programs() -> Path:
    """Where Debian keeps the programs of the server; raises `FileNotFoundError` if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return found[-1].parent


@contextlib.contextmanager
def server() -> Iterator[tuple[str, str]]:
    """A PostgreSQL server with one user and password; yields the URLs of two databases, for study and MLflow."""
    with tempfile.TemporaryDirectory() as folder:  # the server's user reaches it, which is not so of every folder
        yield from _served(Path(folder))


def _served(folder: Path) -> Iterator[tuple[str, str]]:
    password = secrets.token_hex(8)
    (folder / "password").write_text(password + "\n")
    user: dict[str, Any] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        someone = pwd.getpwnam("postgres")
        os.chown(folder, someone.pw_uid, someone.pw_gid)
        os.chown(folder / "password", someone.pw_uid, someone.pw_gid)
        user = {"user": someone.pw_uid, "group": someone.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    made = ["-D", str(data), "-U", "palenka", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8"]
    control = [str(programs() / "pg_ctl"), "-D", str(data), "-w"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([str(programs() / "initdb"), *made, "--locale=C.UTF-8"], **quiet, **user)
    subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], **quiet, **user)
    try:
        urls = []
        for name in ("study", "mlflow"):
            where = ["-h", "127.0.0.1", "-p", str(port), "-U", "palenka", name]
            environment = {**os.environ, "PGPASSWORD": password}
            subprocess.run([str(programs() / "createdb"), *where], check=True, env=environment, cwd=folder)
            urls.append(f"postgresql://palenka:{password}@127.0.0.1:{port}/{name}")
        yield urls[0], urls[1]
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet, **user)


def experiment(folder: Path) -> dict[str, Any]:
    """The same search with a journal and with PostgreSQL."""
    place = Place.make(folder)
    with server() as (study, mlflow):
        place.environment |= {"PALENKA_STUDY_STORAGE": study, "MLFLOW_TRACKING_URI": mlflow}
        first, run = place.start("database"), place.run_folder("database")
        try:
            wait_for(lambda: first.poll() is not None or ended(run) >= 2, 300, "the end of two trials")
            kill(first.pid)
            first.wait()
            place.finish("database")
            result = compare(run, mlflow, study)
        finally:
            place.kill_all()
    password = study.split(":")[2].split("@")[0]
    holders = [str(path) for path in place.storage.rglob("*") if path.is_file() and password in _text(path)]
    return {
        "identical": outcome(run) == undisturbed(),
        "finished_run_again": len(run_again(run)),
        "journal_beside_it": (run / "optuna.journal").exists(),
        "files_with_the_password": holders,
        **result,
    }


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


def good(result: dict[str, Any]) -> bool:
    """Whether the database is as good as the journal."""
    bad = ("finished_run_again", "journal_beside_it", "files_with_the_password")
    return result["identical"] and in_mlflow(result) and not any(result[key] for key in bad)


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
