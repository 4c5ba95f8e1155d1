"""`python -m palenka_tune.tracking RUN_DIR`: send to MLflow what its server missed while it was away."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from palenka_tune.errors import PalenkaError
from palenka_tune.tracking.ship import replay


def main(run_dir: Path) -> int:
    """Replay the spool of `run_dir`, say how many events were sent, and return the exit code."""
    try:
        print(f"sent {replay(run_dir)} events of {run_dir} to MLflow")
    except PalenkaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m palenka_tune.tracking", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="the folder of a run, which holds mlflow.spool.jsonl")
    sys.exit(main(parser.parse_args().run_dir))
