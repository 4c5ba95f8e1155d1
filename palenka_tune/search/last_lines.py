"""The last lines of a search: what was found, the recipe of the best, where it lies, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palenka_tune.report.write import REPORT
from palenka_tune.runs.run_folder import BEST
from palenka_tune.storage.mirror import shown
from palenka_tune.words import describe_values


def last_lines(folder: Path, summary: Mapping[str, Any], ui: str) -> list[str]:
    """For a search that has ended; `ui` is the command that shows it in MLflow."""
    best, verdict = summary["best"], summary.get("verdict")
    lines = [str(verdict["sentence"])] if verdict else []
    settings = {name: value for name, value in best["params"].items() if value or name not in ("alpha", "beta")}
    recipe = describe_values(settings) or "the fixed setting of the scale"
    place = shown(folder)
    return [
        *lines,
        f"recipe    {best['arm']}: {recipe}",
        f"student   {place}/{BEST}",
        f"report    {place}/{REPORT}",
        f"trials    {ui}",
        f"next      python -m palenka_tune.evaluate {place}/{BEST} --suite blimp --source DIR",
    ]
