"""As much of a real search as fits: both teachers trained here, their cache, trials, fresh seeds, verdict."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

NEEDS = ("ray", "optuna", "mlflow")
NAME, TO_STOP = "gpu_day", 45.0  # seconds that a search may take to stop
OPTIONS = ("--scale", "tiny", "--samples", "8", "--seeds", "3")


def measure(folder: Path, data: str, seconds: float) -> dict[str, Any]:
    """What `summary.json` says after `seconds`, or at the search's end."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        return {"left_out": f"{', '.join(missing)} not installed here; a search needs all of {', '.join(NEEDS)}"}
    storage = folder / "runs"
    command = [sys.executable, "-m", "palenka_tune.search", "dskd", "--data", data, *OPTIONS]
    command += ["--storage", str(storage), "--name", NAME]
    process = subprocess.Popen(command)
    try:
        code = process.wait(max(1.0, seconds - TO_STOP))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    found: dict[str, Any] = {"command": " ".join(command[1:]), "exit_code": code}
    summary = storage / NAME / "summary.json"
    if summary.exists():
        held = json.loads(summary.read_text(encoding="utf-8"))
        found |= {key: held.get(key) for key in ("state", "counts", "headroom", "verdict", "cost", "best")}
    return found
