"""Minimal pairs that cannot be scored: `python -m tests.faults.bad_pairs`.

A sentence longer than a teacher reads, and half a surrogate pair: the search must refuse both by file and line before
anything is trained, and without a trace in its storage.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import Place

PAIRS = {
    "long": {"sentence_good": "The cat " + "saw the dog and " * 2000, "sentence_bad": "The cat dog the saw."},
    "surrogate": {"sentence_good": "The cat \ud83d saw.", "sentence_bad": "The cat dog the saw."},
}


def experiment(folder: Path) -> dict[str, Any]:
    """{kind: whether the search ended with 2, named file and line, and trained nothing}."""
    found = {}
    for name, pair in PAIRS.items():
        place = Place.make(folder / name)
        file = place.folder / "pairs" / "unusable.jsonl"
        file.write_text(json.dumps(pair) + "\n")
        code = place.start(name).wait(timeout=300)
        said = place.said(name)
        named = "unusable.jsonl" in said and "line 1" in said and "Traceback" not in said
        found[name] = code == 2 and named and not (place.run_folder(name) / "optuna.journal").exists()
        place.kill_all()
    return found


def good(result: dict[str, Any]) -> bool:
    """Whether each was refused in time."""
    return set(result) == set(PAIRS) and all(result.values())


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
