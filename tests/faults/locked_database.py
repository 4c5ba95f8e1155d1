"""MLflow's database locked by somebody else: `python -m tests.faults.locked_database`.

Another program holds SQLite's write lock from the first trial until four have ended. Every metric must then be in it,
once, and every run must have ended in its right state.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.mlflow_outage import begun, compare, ended
from tests.faults.mlflow_outage import good as in_mlflow
from tests.faults.searches import Place, wait_for

LOCKED = 4  # trials that end while the database is locked


def experiment(folder: Path) -> dict[str, Any]:
    """One search whose database is locked in its middle."""
    place = Place.make(folder)
    run, database = place.run_folder("locked"), place.storage / "mlflow.db"
    process = place.start("locked")
    try:
        wait_for(lambda: process.poll() is not None or begun(run), 300, "the first trial")
        holder = sqlite3.connect(database, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        wait_for(lambda: process.poll() is not None or ended(run) >= LOCKED, 300, "four trials")
        holder.execute("ROLLBACK")
        holder.close()
        assert process.wait(timeout=600) == 0, place.said("locked")
        told = [line for line in place.said("locked").splitlines() if "database is locked" in line]
        return {"said": told[:1], **compare(run, f"sqlite:///{database}")}
    finally:
        place.kill_all()


def good(result: dict[str, Any]) -> bool:
    """Whether the reason was said, and everything arrived once."""
    return bool(result["said"]) and in_mlflow(result)


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
