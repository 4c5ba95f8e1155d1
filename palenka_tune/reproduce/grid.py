"""`reproduce grid`: the poster's 25 points, run as published and corrected, and what each objective picks of them.

Each method is a search (`search_spaces/poster_grid.yaml` with the poster's student and teachers at a scale). One page,
`report.html`, has both heat maps of each and the lines in beta.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from palenka_tune.config.files import write_json
from palenka_tune.report.charts.draw_matplotlib import write_pictures
from palenka_tune.report.charts.grid import grid_lines, grid_maps
from palenka_tune.report.grid import Grid, grid_of, linear_in_beta, picks, published_lines
from palenka_tune.report.page import Section, write_page
from palenka_tune.report.write import REPORT
from palenka_tune.reproduce.experiments import ReproduceConfig
from palenka_tune.reproduce.rows import ROWS
from palenka_tune.runs.tables import TRIALS, read_rows
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.poster_method import AS_PUBLISHED, METHODS, method_settings
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.trials.arms import HIDDEN
from palenka_tune.trials.rows import COMPLETE, TrialRow

SYSTEM = "PalenkaLlama1-58M-L0.1-H0.1"  # whose student and teachers the poster's grid was run on
RESULTS = "results.json"
OBJECTIVES = {"val_total": "the total loss", "val_ce": "the student's own cross-entropy"}


def configure(config: ReproduceConfig, method: str) -> SearchConfig:
    """The search of the grid at a scale under `method`."""
    tree = dataclasses.asdict(config.experiment(ROWS[SYSTEM]))
    options = {name: tree[name] for name in ("scale", "seed", "teachers")}
    options |= {f"student.{name}": tree["student"][name] for name in ("preset", "dev_windows")}
    options |= {f"{part}.{name}": value for part in ("data", "recipe") for name, value in tree[part].items()}
    options |= method_settings(method)
    return resolve("poster_grid", options=options, assignments=[("student.train_windows", None)])


def run(config: ReproduceConfig, command: str, console: Console) -> dict[str, Any]:
    """Run the searches that are not finished, of `config.method` or of both, and write the page, which says `command`;
    returns what `results.json` holds."""
    from palenka_tune.search.launch import main as search  # ray and mlflow: only once the input is known to be good

    methods = [config.method] if config.method else METHODS
    searches = {method: configure(config, method) for method in methods}
    storage = Path(config.storage).expanduser().absolute()
    folder = storage / config.run_name
    grids: dict[str, Grid] = {}
    for method, each in searches.items():
        name = f"{config.run_name}-{method.replace('_', '-')}"
        console.print(f"the poster's grid, {method.replace('_', ' ')}", markup=False)
        options = SearchOptions(
            name=name,
            storage=config.storage,
            concurrent=config.concurrent,
            address=config.address,
            quiet=config.quiet,
            resume=(storage / name).exists(),
        )
        search(each, options, console)
        grids[method] = read_grid(storage / name / TRIALS)
    results = {
        "scale": config.scale,
        "seed": config.seed,
        "methods": {method: describe(grid) for method, grid in grids.items()},
        "published": [dataclasses.asdict(line) for line in published_lines()],
    }
    folder.mkdir(exist_ok=True)
    write_json(folder / RESULTS, results)
    _write_report(folder, config, grids, command)
    for method, grid in grids.items():
        for line in sentences(method, grid):
            console.print(line, markup=False)
    console.print(f"report: {folder / REPORT}", markup=False)
    return results


def read_grid(path: Path) -> Grid:
    """The grid of a finished search: the arm that has both weights."""
    rows = [row for row in read_rows(path, TrialRow) if row.arm == HIDDEN and row.state == COMPLETE]
    return grid_of({"values": row.settings, "val_ce": row.val_ce, "val_total": row.val_total} for row in rows)


def describe(grid: Grid) -> dict[str, Any]:
    """Plain values for JSON: both matrices, what each objective picks, the lines in beta."""

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else float(value)

    return {
        "alphas": list(grid.alphas),
        "betas": list(grid.betas),
        **{name: [[plain(value) for value in row] for row in grid.matrix(name)] for name in OBJECTIVES},
        "picks": {name: pick and dataclasses.asdict(pick) for name, pick in picks(grid).items()},
        "linear_in_beta": {
            name: [dataclasses.asdict(line) for line in lines] for name, lines in linear_in_beta(grid).items()
        },
    }


def sentences(method: str, grid: Grid) -> list[str]:
    """What a grid says of the two objectives."""
    said = []
    for name, pick in picks(grid).items():
        if pick is not None:
            tie = f", as do {pick.equal - 1} other cells with the very same value" if pick.equal > 1 else ""
            where = f"alpha {pick.alpha:g}, beta {pick.beta:g} ({pick.value:.4f})"
            said.append(f"{OBJECTIVES[name]} picks {where}{tie}")
    lines = linear_in_beta(grid)["val_total"]
    straight = [line.r2 for line in lines if line.r2 is not None]
    if straight:
        slopes = [line.slope for line in lines if line.slope is not None]
        said.append(
            f"val/total is a line in beta: r2 at least {min(straight):.6f}, "
            f"slope {min(slopes):.2f} to {max(slopes):.2f}"
        )
    if method == AS_PUBLISHED:
        rows = [row[~np.isnan(row)] for row in grid.val_ce]
        flat = max(float(np.ptp(row)) for row in rows if len(row))
        said.append(f"the student's cross-entropy changes with beta by {flat:.1g} nats per token")
    return [f"{method.replace('_', ' ')}: {line}" for line in said]


def _write_report(folder: Path, config: ReproduceConfig, grids: Mapping[str, Grid], command: str) -> None:
    sections = []
    for method, grid in grids.items():
        words = method.replace("_", " ")
        figures = [grid_maps(grid, "grid_heat"), grid_lines(grid, "grid_lines")]
        for figure in figures:
            write_pictures(folder / "plots" / method, figure, f"{words}, scale {config.scale}")
        sections.append(Section(words.capitalize(), *sentences(method, grid), *figures))
    slope = published_lines()[0].slope
    lead = [
        "The poster chose the weights of its loss by the sum CE + alpha KL + beta hidden, in which those very weights "
        f"stand. Its published row at alpha 0.1 (6.24, 7.43, 8.62) is a line in beta with slope {slope:.2f}: the "
        "smallest weights win by construction.",
        f"Command: {command}",
    ]
    write_page(folder / REPORT, f"The poster's grid at scale {config.scale}", lead, sections)
