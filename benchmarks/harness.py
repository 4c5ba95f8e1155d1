"""What all benchmarks share: rounds in turn, ratios with spread, the machine, the table and the JSON.

A contender is a function without arguments that returns a figure (tokens/s, seconds, bytes). `paired` calls all of them
once a round; a ratio is taken within each round and reported as the median over rounds with the lowest and highest.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Ratio:
    """Median, lowest and highest over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class Aim:
    """What a ratio is to be, at the sizes for which the documentation states it."""

    sense: Literal["at least", "at most"]
    bound: float

    def met(self, found: Ratio) -> bool:
        return found.median >= self.bound if self.sense == "at least" else found.median <= self.bound

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g}"


def paired(
    contenders: Mapping[str, Callable[[], float]], rounds: int, log: Callable[[str], None] = print
) -> dict[str, list[float]]:
    """The figures of each contender, one per round; every other round runs in the opposite order."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders) if number % 2 == 0 else list(contenders)[::-1]:
            figures[name].append(contenders[name]())
            log(f"round {number + 1}/{rounds}  {name:<40} {figures[name][-1]:,.4g}")
    return figures


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio:
    """Round by round `numerator / denominator`."""
    each = [top / bottom for top, bottom in zip(numerator, denominator, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


@dataclass
class Report:
    """What a benchmark found. `rows` are (contender, figures as text); `ratios` are what its claims rest on, and `aims`
    say of some of them that the median is to be at least (or at most) so much."""

    name: str
    title: str
    settings: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    ratios: dict[str, Ratio] = field(default_factory=dict)
    aims: dict[str, Aim] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def publish(self, path: str | Path | None) -> int:
        """Print the table and the ratios, write the JSON if a path is given; gives 1 if an aim is missed, else 0."""
        console = Console(highlight=False, soft_wrap=True, width=140)
        table = Table(title=self.title)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for name, value in self.ratios.items():
            aim = self.aims.get(name)
            said = "" if aim is None else f" (aimed at: {aim}{'' if aim.met(value) else '; MISSED'})"
            console.print(f"{name} = {value}{said}", markup=False)
        for note in self.notes:
            console.print(note, markup=False)
        console.print(", ".join(f"{key} {value}" for key, value in machine().items()), markup=False)
        if path is not None:
            Path(path).write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        return int(bool(self.missed))

    @property
    def missed(self) -> list[str]:
        """The aims that were not reached, also those of which there is no figure."""
        return [name for name, aim in self.aims.items() if name not in self.ratios or not aim.met(self.ratios[name])]

    def as_json(self) -> dict[str, Any]:
        """`ratios` are medians, `spread` the lowest and highest of each."""
        return {
            "benchmark": self.name,
            "machine": machine(),
            "settings": self.settings,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "ratios": {name: value.median for name, value in self.ratios.items()},
            "spread": {name: [value.low, value.high] for name, value in self.ratios.items()},
            "missed": self.missed,
            "details": self.details,
            "notes": self.notes,
        }


def machine() -> dict[str, str]:
    """Processor, cores, GPU, versions and date, as the figures' page states them."""
    import torch

    names = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.lower().startswith("model name")
    ]
    facts = {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    return facts


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """`python -m benchmarks.NAME` with `--json FILE`."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--json", default=None, metavar="FILE", help="also write what was found as JSON")
    return made
