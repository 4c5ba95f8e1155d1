"""Spaces that hold less than was asked for: `python -m tests.faults.small_spaces`.

A search asks for more trials than its space holds: it must run each setting once, say how many there are, and end. A
Gaussian process that proposes the end of a range again and again must still run all that it was asked for.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.faults.command import run as run_command
from tests.faults.searches import Place, outcome

HELD, ASKED = 3, 8  # settings that the small space holds, samples that are asked for


def search(folder: Path, name: str, parameters: dict[str, Any], **settings: Any) -> tuple[int, str]:
    """(Trials beside the fixed ones, what was said) of a search whose trials are of 20 steps."""
    place = Place.make(folder / name, samples=ASKED, rungs=[], **settings)
    space = yaml.safe_load((place.folder / "space.yaml").read_text())
    space["recipe"]["epochs"] = 20 * 16 / 128
    (place.folder / "space.yaml").write_text(yaml.safe_dump({**space, "parameters": parameters}))
    place.finish(name)
    return len(outcome(place.run_folder(name))) - 3, place.said(name)


def experiment(folder: Path) -> dict[str, Any]:
    """Two searches: of a space of three settings, and of a range whose end is best."""
    held, said = search(folder, "small", {"projection.rank": {"choice": [4, 8, None]}})
    repeated, _ = search(folder, "repeated", {"recipe.lr": {"log_uniform": [1e-5, 1e-3]}}, sampler="gp")
    return {
        "trials_of_the_small_space": held,
        "said": [line for line in said.splitlines() if f"holds {HELD} settings" in line or "holds no more" in line][:1],
        "trials_that_a_sampler_repeats": repeated,
    }


def good(result: dict[str, Any]) -> bool:
    """Whether all that there was to run ran, once, and the smaller number was said."""
    # the fixed setting is one of the three, and runs beside the samples
    few = result["trials_of_the_small_space"] == HELD - 1
    return few and bool(result["said"]) and result["trials_that_a_sampler_repeats"] == ASKED


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
