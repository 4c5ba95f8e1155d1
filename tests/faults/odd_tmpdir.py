"""TMPDIR as clusters and people set it: `python -m tests.faults.odd_tmpdir`.

Ray keeps sockets in a temporary folder, whose path must be short and ASCII. A search under a long one (as SLURM's) and
under one that is not ASCII must find another folder, say so, and come to the result of an undisturbed search.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import Place, outcome, undisturbed

FOLDERS = {"long": "slurm_job_" + "0" * 90, "not_ascii": "временные"}


def experiment(folder: Path) -> dict[str, Any]:
    """{kind: whether it said where Ray's files go and came to the same}."""
    found = {}
    for name, each in FOLDERS.items():
        place = Place.make(folder / name)
        place.environment["TMPDIR"] = str(folder / each)
        (folder / each).mkdir()
        place.finish(name)
        told = "Ray's files go into" in place.said(name)
        found[name] = told and outcome(place.run_folder(name)) == undisturbed()
        place.kill_all()
    return found


def good(result: dict[str, Any]) -> bool:
    """Whether both came to the same."""
    return set(result) == set(FOLDERS) and all(result.values())


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
