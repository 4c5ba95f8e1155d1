"""The verdict on the finalists: configurations trained at the same seeds, against the anchors, in words and tables.

Differences are paired by seed, with Student's t interval (`evaluation.paired`); "not distinguishable" is said exactly
when the interval holds 0.

The best finalist is chosen by the same seeds that its interval is from, so among many finalists its difference is a
little flattered: as many as there are finalists were tried.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.paired import ONE_SEED, Difference, paired_difference
from palenka_tune.trials.arms import ANCHORS
from palenka_tune.trials.metrics import METRICS, VAL_CE, Metric, metric
from palenka_tune.trials.rows import FinalistRow
from palenka_tune.words import markdown_table

# a finalist's settings with β = 0, which say what of its difference the hidden states made
WITHOUT = "-without-hidden"
HEADER = ("configuration", "measure", "seeds", "mean ± sd", "minus vanilla KD", "minus no distillation")
LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """A metric over seeds: mean and sample standard deviation (None for one seed)."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Summary:
    """A configuration over its seeds.

    `suites` are those on which any student was scored. `metrics` maps a metric to its `Spread`, `against` an anchor to
    the metrics' differences from it, paired by seed (this configuration minus the anchor). A metric without any value,
    or without a seed in common, is not there. `changed` names settings that differ from vanilla KD's besides those of
    the hidden states, which therefore share in the difference.
    """

    config: str
    role: str
    beta: float
    seeds: tuple[int, ...]
    suites: tuple[str, ...]
    metrics: dict[str, Spread]
    against: dict[str, dict[str, Difference]]
    changed: tuple[str, ...] = ()

    @property
    def finalist(self) -> bool:
        """Whether this is one of those among which the best is chosen."""
        return self.role == "finalist"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def summarise(rows: Iterable[FinalistRow], changed: Mapping[str, Sequence[str]] | None = None) -> list[Summary]:
    """A summary per configuration: the anchors, then the finalists from the lowest mean dev cross-entropy up.

    `changed` gives what `Summary` says of it, by configuration. None and NaN are values that a student does not have.
    Raises `PalenkaError` if a configuration has two rows of one seed.
    """
    students: dict[str, dict[int, FinalistRow]] = {}
    for row in rows:
        runs = students.setdefault(row.config, {})
        if row.seed in runs:
            raise PalenkaError(f"{row.config} has two rows of seed {row.seed}; a seed is one student")
        runs[row.seed] = row
    suites = tuple(dict.fromkeys(name for runs in students.values() for row in runs.values() for name in row.scores))
    names = [*(name for name, each in METRICS.items() if each.compared), *suites]
    values = {config: {name: _by_seed(runs, name) for name in names} for config, runs in students.items()}
    summaries = []
    for config, runs in students.items():
        first = next(iter(runs.values()))
        others = [other for other in (*ANCHORS, config + WITHOUT) if other in values and other != config]
        differences = {
            other: {name: _difference(values[config][name], values[other][name]) for name in names} for other in others
        }
        summaries.append(
            Summary(
                config,
                first.role,
                first.beta,
                tuple(sorted(runs)),
                suites,
                {name: _spread([*known.values()]) for name, known in values[config].items() if known},
                {other: {name: each for name, each in row.items() if each} for other, row in differences.items()},
                tuple((changed or {}).get(config, ())),
            )
        )
    return sorted(summaries, key=_order)


def best(summaries: Iterable[Summary]) -> Summary | None:
    """The finalist with the lowest mean dev cross-entropy of those that most seeds finished; None if none has one."""
    finalists = [summary for summary in summaries if summary.finalist and VAL_CE in summary.metrics]
    return min(finalists, key=lambda summary: (-summary.metrics[VAL_CE].n, summary.metrics[VAL_CE].mean), default=None)


def sentence(summary: Summary, against: str = "vanilla_kd") -> str:
    """What a configuration changed against an anchor, whichever way it went, such as

    "deep supervision (trial-0007, β 3.1) lowered dev CE by 0.041 ± 0.008 nats per token against vanilla KD (3 seeds,
    95 % interval); BLiMP +0.6 ± 0.9 points, not distinguishable".

    The figure after ± is half the interval. Configurations with β = 0 are named without deep supervision.
    """
    differences = summary.against.get(against, {})
    other = f"; {', '.join(summary.changed)} changed too" if summary.changed and against == "vanilla_kd" else ""
    deep = f"deep supervision ({summary.config}, β {summary.beta:.3g}{other})"
    subject = deep if summary.beta else f"{summary.config} (no deep supervision, β 0{other})"
    change = differences.get(VAL_CE)
    if change is None:
        return f"{subject} has no seed in common with {_name(against)}: nothing to compare its dev CE with"
    size = f"{_amount(change, METRICS[VAL_CE], digits=3, signed=False)} nats per token"
    verb = "lowered" if change.mean < 0 else "raised"
    effect = f"{verb} dev CE by {size}" if change.mean else f"left dev CE as it was ({size})"
    parts = [f"{subject} {effect} against {_name(against)} ({_seeds(change)}){_doubt(change)}"]
    for suite in summary.suites:
        measure, difference = metric(suite), differences.get(suite)
        if difference is None:
            parts.append(f"{measure.label} without a seed in common")
            continue
        seeds = "" if _seeds(difference) == _seeds(change) else f" ({_seeds(difference)})"
        amount = f"{_amount(difference, measure)} {measure.difference_unit}"
        parts.append(f"{measure.label} {amount}{seeds}{_doubt(difference)}")
    return "; ".join(parts)


def verdict(summaries: Sequence[Summary]) -> str:
    """The sentence of the best finalist, as a paragraph of its own; where its settings were also trained with β = 0, a
    second one says what the hidden states alone did."""
    chosen = best(summaries)
    if chosen is None:
        return "No finalist was trained to the end, so there is nothing to compare."
    count = sum(summary.finalist for summary in summaries)
    text = f"{f'Best of {count} finalists' if count > 1 else 'The only finalist'}: {sentence(chosen)}."
    without = chosen.config + WITHOUT
    return text + (f" And {sentence(chosen, without)}." if without in chosen.against else "")


def cells(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """The rows under `HEADER`: one for each configuration and metric; accuracies in percent, differences in points."""
    rows = []
    for summary in summaries:
        for name, spread in summary.metrics.items():
            measure = metric(name)
            sd = "" if spread.sd is None else f" ± {measure.text(spread.sd)}"
            compared = [_cell(summary.against.get(anchor, {}).get(name), measure) for anchor in reversed(ANCHORS)]
            figures = (str(spread.n), f"{measure.text(spread.mean)}{sd}")
            rows.append((ANCHORS.get(summary.config, summary.config), measure.title, *figures, *compared))
    return rows


def table(summaries: Sequence[Summary]) -> Table:
    """The comparison for a terminal."""
    shown = Table(title=f"finalists and anchors, differences with {100 * LEVEL:.0f} % intervals", title_justify="left")
    for number, column in enumerate(HEADER):
        shown.add_column(column, justify="left" if number < 2 else "right")
    previous = None
    for row in cells(summaries):
        if previous not in (None, row[0]):
            shown.add_section()
        shown.add_row("" if row[0] == previous else row[0], *row[1:])
        previous = row[0]
    return shown


def markdown(summaries: Sequence[Summary]) -> str:
    """The comparison as a Markdown table, for model cards and READMEs."""
    return markdown_table(HEADER, cells(summaries), left=2)


def _order(summary: Summary) -> tuple[bool, int, float, str]:
    place = list(ANCHORS).index(summary.config) if summary.config in ANCHORS else len(ANCHORS)
    spread = summary.metrics.get(VAL_CE)
    return summary.role != "anchor", place, spread.mean if spread else math.inf, summary.config


def _by_seed(runs: Mapping[int, FinalistRow], name: str) -> dict[int, float]:
    """{seed: value} of the students that have one."""
    values = {seed: row.value(name) for seed, row in sorted(runs.items())}
    return {seed: float(value) for seed, value in values.items() if value is not None and math.isfinite(value)}


def _spread(values: list[float]) -> Spread:
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), sd, len(values))


def _difference(own: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
    shared = [seed for seed in own if seed in other]
    if not shared:
        return None
    return paired_difference([own[seed] for seed in shared], [other[seed] for seed in shared], level=LEVEL)


def _amount(change: Difference, measure: Metric, *, digits: int | None = None, signed: bool = True) -> str:
    """`+0.6 ± 0.5`, with more digits where these would hide the interval or on which side of 0 it lies."""
    mean = measure.scale * (change.mean if signed else abs(change.mean))
    sign, digits = "+" if signed else "", measure.digits if digits is None else digits
    if change.half_width is None:
        return f"{mean:{sign}.{digits}f}"
    half = measure.scale * change.half_width
    for more in range(digits, digits + 4):
        shown = float(f"{half:.{more}f}")
        if (shown > 0 or half == 0) and (abs(float(f"{mean:.{more}f}")) <= shown) == change.holds_zero:
            digits = more
            break
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"


def _seeds(change: Difference) -> str:
    if change.n == 1:
        return ONE_SEED
    return f"{change.n} seeds, {f'{100 * LEVEL:.0f} % interval' if change.low is not None else change.method}"


def _doubt(change: Difference) -> str:
    return ", not distinguishable" if change.holds_zero else ""


def _cell(change: Difference | None, measure: Metric) -> str:
    return "" if change is None else _amount(change, measure)


def _name(name: str) -> str:
    return "the same settings without hidden states" if name.endswith(WITHOUT) else ANCHORS.get(name, name)
