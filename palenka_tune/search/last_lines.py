"""The last lines of a search: what was found, the recipe of the best, where it lies, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palenka_tune.report.write import REPORT
from palenka_tune.runs.run_folder import BEST
from palenka_tune.spaces.settings import SearchSettings
from palenka_tune.storage.mirror import shown
from palenka_tune.words import describe_values

MOST_SEEDS = 30  # beyond which more seeds are no advice
MORE_SAMPLES = 10


def last_lines(folder: Path, summary: Mapping[str, Any], ui: str, page: str, resume: str) -> list[str]:
    """For a search that has ended; `ui` is the command that shows it in MLflow and `page` where, `resume` the command
    that resumes it."""
    best, verdict = summary["best"], summary.get("verdict")
    lines = [str(verdict["sentence"])] if verdict else []
    settings = {name: value for name, value in best["params"].items() if value or name not in ("alpha", "beta")}
    recipe = describe_values(settings) or "the fixed setting of the scale"
    place = shown(folder)
    return [
        *lines,
        f"recipe    {best['arm']}: {recipe}",
        f"student   {place}/{BEST}",
        f"load it   AutoModelForCausalLM.from_pretrained({f'{place}/{BEST}'!r})",
        f"report    {place}/{REPORT}",
        f"trials    {ui}",
        *([] if ui == page else [f"          then open {page}"]),
        f"next      {_next(verdict, resume)}",
    ]


def _next(verdict: Mapping[str, Any] | None, resume: str) -> str:
    """More seeds for what they would decide, else more trials."""
    if verdict is None:
        return f"{resume} --seeds {SearchSettings.seeds} (says what of it holds with fresh seeds)"
    needed = [each["seeds_needed"] for each in verdict["comparisons"] if each["seeds_needed"]]
    if needed and max(needed) <= MOST_SEEDS:
        return f"{resume} --seeds {max(needed)} (would decide what is undecided)"
    return f"{resume} --samples +{MORE_SAMPLES} (more trials; what is finished is not run again)"
