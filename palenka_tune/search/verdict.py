"""The verdict on the finalists: configurations trained at the same seeds, against the anchors, in words and tables.

In: a row per student (configuration, role, seed, dev cross-entropy, accuracies) and the β of each configuration. Out:
a `Summary` per configuration, a table for the terminal and one in Markdown, and a sentence. Differences are paired by
seed, with the interval of `evaluation.paired`; "not distinguishable" is said exactly when the interval holds 0.

The best finalist is chosen by the same seeds that its interval is from, so among many finalists its difference is a
little flattered: as many as there are finalists were tried.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.paired import ONE_SEED, Difference, paired_difference

VAL_CE = "val_ce"
ANCHORS = {"no_distillation": "no distillation", "vanilla_kd": "vanilla KD"}
# a finalist's settings with β = 0, which say what of its difference the hidden states made
WITHOUT = "-without-hidden"
SUITE_NAMES = {
    "blimp": "BLiMP",
    "blimp_filtered": "BLiMP-filtered",
    "blimp_supplement": "BLiMP-supplement",
    "ewok": "EWoK",
    "ewok_filtered": "EWoK-filtered",
}
HEADER = ("configuration", "measure", "seeds", "mean ± sd", "minus vanilla KD", "minus no distillation")
OVER_ITEMS = "minus vanilla KD, over items"
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

    `metrics` maps a metric to its `Spread`, `against` an anchor to the metrics' differences from it, paired by seed
    (this configuration minus the anchor). A metric without any value, or without a seed in common, is not there.
    `items` maps a suite to the accuracy's difference from vanilla KD with the interval over items
    (`evaluation.paired.paired_items`); `changed` names settings that differ from vanilla KD's besides those of the
    hidden states, which therefore share in the difference.
    """

    config: str
    role: str
    beta: float
    seeds: tuple[int, ...]
    metrics: dict[str, Spread]
    against: dict[str, dict[str, Difference]]
    items: dict[str, Difference] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def anchor(self) -> bool:
        """Whether this is one of the two that the finalists are compared with."""
        return self.role == "anchor"

    @property
    def finalist(self) -> bool:
        """Whether this is one of those among which the best is chosen."""
        return self.role == "finalist"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"seeds": list(self.seeds), "changed": list(self.changed)}


def summarise(
    rows: Iterable[Mapping[str, Any]],
    betas: Mapping[str, float],
    suites: Sequence[str] = (),
    *,
    items: Mapping[str, Mapping[str, Difference]] | None = None,
    changed: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> list[Summary]:
    """A summary per configuration: the anchors, then the finalists from the lowest mean dev cross-entropy up.

    A row has `config`, `role` (anchor, finalist or ablation), `seed`, `val_ce` in nats per token, and an accuracy from
    0 to 1 under each name in `suites`; None and NaN are values that a student does not have. `betas` gives each
    finalist's weight of the hidden states (the anchors' is 0), `items` and `changed` what `Summary` says of them, by
    configuration. `seed` is that of the bootstrap.

    Raises:
        PalenkaError: if a finalist has no β or a configuration two rows of one seed.
    """
    weights = {**dict.fromkeys(ANCHORS, 0.0), **betas}
    values: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        runs = values.setdefault(str(row["config"]), {})
        if row["seed"] in runs:
            raise PalenkaError(f"{row['config']} has two rows of seed {row['seed']}; a seed is one student")
        runs[int(row["seed"])] = row
    for config in values:
        if config not in weights:
            raise PalenkaError(f"no β is given for {config}; give each finalist's weight of the hidden states")
    found = []
    for config, runs in values.items():
        metrics = {name: _known(runs, name) for name in (VAL_CE, *suites)}
        against = {
            anchor: {
                name: difference
                for name, known in metrics.items()
                if (difference := _difference(known, _known(values[anchor], name), seed))
            }
            for anchor in (*ANCHORS, config + WITHOUT)
            if anchor in values and anchor != config
        }
        spreads = {name: _spread(list(known.values())) for name, known in metrics.items() if known}
        role = str(next(iter(runs.values()))["role"])
        extra = dict((items or {}).get(config, {})), tuple((changed or {}).get(config, ()))
        found.append(Summary(config, role, float(weights[config]), tuple(sorted(runs)), spreads, against, *extra))
    return sorted(found, key=_order)


def best(summaries: Iterable[Summary]) -> Summary | None:
    """The finalist with the lowest mean dev cross-entropy of those that most seeds finished; None if none has one."""
    finalists = [summary for summary in summaries if summary.finalist and VAL_CE in summary.metrics]
    return min(finalists, key=lambda summary: (-summary.metrics[VAL_CE].n, summary.metrics[VAL_CE].mean), default=None)


def sentence(summary: Summary, suites: Sequence[str] = (), against: str = "vanilla_kd") -> str:
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
    size = _amount(change, digits=3, signed=False)
    verb = "lowered" if change.mean < 0 else "raised"
    said = (
        f"{verb} dev CE by {size} nats per token" if change.mean else f"left dev CE as it was ({size} nats per token)"
    )
    parts = [f"{subject} {said} against {_name(against)} ({_seeds(change)}){_doubt(change)}"]
    for suite in suites:
        if suite not in differences:
            parts.append(f"{_name(suite)} without a seed in common")
            continue
        points = _points(differences[suite])
        own = "" if _seeds(points) == _seeds(change) else f" ({_seeds(points)})"
        parts.append(f"{_name(suite)} {_amount(points, digits=1)} points{own}{_doubt(points)}")
    return "; ".join(parts)


def verdict(summaries: Sequence[Summary], suites: Sequence[str] = (), against: str = "vanilla_kd") -> str:
    """The sentence of the best finalist, as a paragraph of its own; where its settings were also trained with β = 0, a
    second one says what the hidden states alone did."""
    chosen = best(summaries)
    if chosen is None:
        return "No finalist was trained to the end, so there is nothing to compare."
    count = sum(summary.finalist for summary in summaries)
    said = sentence(chosen, suites, against)
    said = f"{f'Best of {count} finalists' if count > 1 else 'The only finalist'}: {said}."
    without = chosen.config + WITHOUT
    return said + (f" And {sentence(chosen, suites, without)}." if without in chosen.against else "")


def header(summaries: Iterable[Summary]) -> tuple[str, ...]:
    """The columns of `cells`: the last one is there only if a configuration has intervals over items."""
    return (*HEADER, OVER_ITEMS) if any(summary.items for summary in summaries) else HEADER


def cells(summaries: Sequence[Summary], suites: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The rows under `header`: one for each configuration and metric; accuracies in percent, differences in points."""
    rows, columns = [], len(header(summaries))
    for summary in summaries:
        label = _name(summary.config) if summary.config in ANCHORS else summary.config
        for metric, spread in summary.metrics.items():
            if metric not in (VAL_CE, *suites):
                continue
            factor, digits = (1, 4) if metric == VAL_CE else (100, 1)
            sd = "" if spread.sd is None else f" ± {factor * spread.sd:.{digits}f}"
            unit = "dev CE (nats per token)" if metric == VAL_CE else f"{_name(metric)} (%)"
            compared = [_cell(summary.against.get(anchor, {}).get(metric), metric) for anchor in reversed(ANCHORS)]
            compared.append(_cell(summary.items.get(metric), metric))
            rows.append((label, unit, str(spread.n), f"{factor * spread.mean:.{digits}f}{sd}", *compared)[:columns])
    return rows


def table(summaries: Sequence[Summary], suites: Sequence[str] = ()) -> Table:
    """The comparison for a terminal."""
    shown = Table(title=f"finalists and anchors, differences with {100 * LEVEL:.0f} % intervals", title_justify="left")
    for number, column in enumerate(header(summaries)):
        shown.add_column(column, justify="left" if number < 2 else "right")
    previous = None
    for row in cells(summaries, suites):
        if previous not in (None, row[0]):
            shown.add_section()
        shown.add_row("" if row[0] == previous else row[0], *row[1:])
        previous = row[0]
    return shown


def markdown(summaries: Sequence[Summary], suites: Sequence[str] = ()) -> str:
    """The comparison as a Markdown table, for model cards and READMEs."""
    columns = header(summaries)
    lines = [columns, ("---", "---", *["---:"] * (len(columns) - 2)), *cells(summaries, suites)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _order(summary: Summary) -> tuple[bool, int, float, str]:
    place = list(ANCHORS).index(summary.config) if summary.config in ANCHORS else len(ANCHORS)
    spread = summary.metrics.get(VAL_CE)
    return not summary.anchor, place, spread.mean if spread else math.inf, summary.config


def _known(runs: Mapping[int, Mapping[str, Any]], name: str) -> dict[int, float]:
    """{seed: value} of the students that have one."""
    values = {seed: row.get(name) for seed, row in sorted(runs.items())}
    return {seed: float(value) for seed, value in values.items() if value is not None and math.isfinite(value)}


def _spread(values: list[float]) -> Spread:
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), sd, len(values))


def _difference(own: Mapping[int, float], other: Mapping[int, float], seed: int) -> Difference | None:
    shared = [run for run in own if run in other]
    if not shared:
        return None
    return paired_difference([own[run] for run in shared], [other[run] for run in shared], level=LEVEL)


def _points(change: Difference) -> Difference:
    """An accuracy's difference in percentage points."""
    low, high = (None if bound is None else 100 * bound for bound in (change.low, change.high))
    return Difference(100 * change.mean, low, high, change.n, change.method)


def _amount(change: Difference, *, digits: int, signed: bool = True) -> str:
    """`+0.6 ± 0.5`, with more digits where these would hide the interval or on which side of 0 it lies."""
    mean, half = change.mean if signed else abs(change.mean), change.half_width
    sign = "+" if signed else ""
    if half is None:
        return f"{mean:{sign}.{digits}f}"
    for more in range(digits, digits + 4):
        shown = float(f"{half:.{more}f}")
        if (shown > 0 or half == 0) and (abs(float(f"{mean:.{more}f}")) <= shown) == change.holds_zero:
            digits = more
            break
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"


def _seeds(change: Difference) -> str:
    if change.n == 1:
        return ONE_SEED
    return (
        f"{change.n} seeds, {100 * LEVEL:.0f} % interval"
        if change.low is not None
        else (f"{change.n} seeds, {change.method}")
    )


def _doubt(change: Difference) -> str:
    return ", not distinguishable" if change.holds_zero else ""


def _cell(change: Difference | None, metric: str) -> str:
    if change is None:
        return ""
    if metric == VAL_CE:
        return _amount(change, digits=4)
    return _amount(_points(change), digits=1)


def _name(name: str) -> str:
    if name.endswith(WITHOUT):
        return "the same settings without hidden states"
    return ANCHORS.get(name) or SUITE_NAMES.get(name) or name.replace("_", " ")
