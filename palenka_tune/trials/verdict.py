"""The verdict: the best trial of each arm, trained again with fresh seeds, compared in words, figures and tables.

Differences are paired by seed, with Student's t interval (`evaluation.paired`), and said in four words: better, worse,
equivalent (the whole interval lies within a margin) or undecided. The seeds are not those by which the best were
chosen, so the interval flatters nobody. Cross-entropies are in nats per token, on test where the corpus has one, else
on dev.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.table import Table

from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.paired import Difference, paired_difference
from palenka_tune.trials.arms import ARMS
from palenka_tune.trials.metrics import METRICS, TEST_CE, VAL_CE, Metric, metric
from palenka_tune.trials.rows import FinalistRow
from palenka_tune.words import markdown_table, plural

Word = Literal["better", "worse", "equivalent", "undecided"]
LEVEL = 0.95
POWER = 0.8
MOST_SEEDS = 1000
PLACES = 500
# what is compared with what, as far as a search has both arms
COMPARED = (("hidden", "logits"), ("logits", "plain"), ("hidden", "plain"))
HEADER = ("arm", "measure", "seeds", "mean ± sd", "minus logits", "minus plain")


@dataclass(frozen=True)
class Spread:
    """A metric over seeds: mean and sample standard deviation (None for one seed)."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Summary:
    """The best of an arm over its seeds.

    `metrics` maps a metric or suite to its `Spread`, `against` another arm to the metrics' differences from it, paired
    by seed (this arm minus the other). A metric without any value, or without a seed in common, is not there.
    """

    arm: str
    config: str
    seeds: tuple[int, ...]
    suites: tuple[str, ...]
    metrics: dict[str, Spread]
    against: dict[str, dict[str, Difference]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """Arm `a` minus arm `b` in cross-entropy, in a word; `seeds_needed` would decide what is undecided, with a
    probability of 80 % (None: it is decided, or more than 1,000 would be needed)."""

    a: str
    b: str
    difference: Difference
    word: Word
    seeds_needed: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as section 5 of the contract has them."""
        each = self.difference
        known = {"difference": each.mean, "low": each.low, "high": each.high, "seeds": each.n, "word": self.word}
        return {"a": self.a, "b": self.b, **known, "seeds_needed": self.seeds_needed}


def word_for(difference: Difference, margin: float) -> Word:
    """The word for a difference in cross-entropy, of which less is better."""
    if difference.low is None or difference.high is None:
        return "undecided"
    if -margin < difference.low and difference.high < margin:
        return "equivalent"
    if difference.holds_zero:
        return "undecided"
    return "better" if difference.mean < 0 else "worse"


def power(effect: float, sd: float, n: int, level: float = LEVEL) -> float:
    """The probability that the interval of `n` paired differences with this mean and standard deviation leaves out 0 on
    the side of the mean (noncentral t)."""
    from scipy import stats  # type: ignore[import-untyped]

    if n < 2:
        return 0.0
    critical = stats.t.ppf((1 + level) / 2, n - 1)
    return float(stats.nct.sf(critical, n - 1, abs(effect) / sd * math.sqrt(n)))


def power_of_equivalence(effect: float, sd: float, n: int, margin: float, level: float = LEVEL) -> float:
    """The probability that the whole interval lies within the margin, over `PLACES` standard deviations of a sample."""
    import numpy as np
    from scipy import stats

    if n < 2 or abs(effect) >= margin:
        return 0.0
    critical, error = stats.t.ppf((1 + level) / 2, n - 1), sd / math.sqrt(n)
    share = (np.arange(PLACES) + 0.5) / PLACES
    half = critical * error * np.sqrt(stats.chi2.ppf(share, n - 1) / (n - 1))
    room = np.maximum(margin - half, 0)
    within = stats.norm.cdf((room - effect) / error) - stats.norm.cdf((-room - effect) / error)
    return float(within.mean())


def seeds_needed(effect: float, sd: float, margin: float) -> int | None:
    """The fewest seeds that would decide with a probability of 80 %, were this the true mean and standard deviation."""
    if not sd:
        return None
    n = 2
    while n <= MOST_SEEDS:
        if power(effect, sd, n) >= POWER or power_of_equivalence(effect, sd, n, margin) >= POWER:
            return n
        n += max(1, n // 50)
    return None


def summarise(rows: Iterable[FinalistRow]) -> list[Summary]:
    """A summary per arm, in the order of the arms. None and NaN are values that a student does not have.

    Raises `PalenkaError` if an arm has two rows of one seed.
    """
    students: dict[str, dict[int, FinalistRow]] = {arm: {} for arm in ARMS}
    for row in rows:
        if row.seed in students[row.arm]:
            raise PalenkaError(f"the arm {row.arm} has two rows of seed {row.seed}; a seed is one student")
        students[row.arm][row.seed] = row
    students = {arm: runs for arm, runs in students.items() if runs}
    suites = tuple(dict.fromkeys(name for runs in students.values() for row in runs.values() for name in row.scores))
    names = [*(name for name, each in METRICS.items() if each.compared), *suites]
    values = {arm: {name: _by_seed(runs, name) for name in names} for arm, runs in students.items()}
    summaries = []
    for arm, runs in students.items():
        differences = {
            other: {name: _difference(values[arm][name], values[other][name]) for name in names}
            for other in values
            if other != arm
        }
        summaries.append(
            Summary(
                arm,
                next(iter(runs.values())).config,
                tuple(sorted(runs)),
                suites,
                {name: _spread([*known.values()]) for name, known in values[arm].items() if known},
                {other: {name: each for name, each in row.items() if each} for other, row in differences.items()},
            )
        )
    return summaries


def judged_on(summaries: Iterable[Summary]) -> str:
    """The metric of the verdict: `test_ce`, or `val_ce` where the corpus has no test."""
    return TEST_CE if any(TEST_CE in summary.metrics for summary in summaries) else VAL_CE


def best(summaries: Sequence[Summary]) -> Summary | None:
    """The arm with the lowest mean cross-entropy of those that most seeds finished; None if none has one."""
    name = judged_on(summaries)
    measured = [summary for summary in summaries if name in summary.metrics]
    return min(measured, key=lambda each: (-each.metrics[name].n, each.metrics[name].mean), default=None)


def comparisons(summaries: Sequence[Summary], margin: float) -> list[Comparison]:
    """Every pair of arms that have seeds in common."""
    name, by_arm = judged_on(summaries), {summary.arm: summary for summary in summaries}
    found = []
    for a, b in COMPARED:
        difference = by_arm[a].against.get(b, {}).get(name) if a in by_arm else None
        if difference is not None:
            word, needed = word_for(difference, margin), None
            if word == "undecided" and difference.half_width is not None:
                needed = seeds_needed(difference.mean, _sd(difference), margin)
            found.append(Comparison(a, b, difference, word, needed))
    return found


def verdict(summaries: Sequence[Summary], margin: float) -> str:
    """The verdict in sentences, whichever way it went, such as

    "Best: logits (trial-0007), 4.0312 nats per token on test (5 seeds). logits is better than plain: -0.2210 (95 %
    interval -0.2290 to -0.2130). hidden and logits are equivalent within ±0.01: ..."
    """
    winner, name = best(summaries), judged_on(summaries)
    if winner is None:
        return "No student was trained to its end with a fresh seed, so there is nothing to compare."
    spread = winner.metrics[name]
    seeds = f"{spread.n} fresh seed{'s' if spread.n > 1 else ''}"
    opening = f"Best: {winner.arm} ({winner.config}), {spread.mean:.4f} nats per token on {split_of(name)} ({seeds})."
    compared = comparisons(summaries, margin)
    return " ".join([opening, *(sentence(each, margin) for each in compared), *on_dev(summaries, compared, margin)])


def sentence(each: Comparison, margin: float) -> str:
    """A comparison in a sentence."""
    difference = each.difference
    amount = f"{difference.mean:+.4f} nats per token"
    if difference.low is not None and difference.high is not None:
        amount += f" ({100 * LEVEL:.0f} % interval {difference.low:+.4f} to {difference.high:+.4f})"
    else:
        amount += f" ({difference.method})"
    if each.word == "equivalent":
        return f"{each.a} and {each.b} are equivalent within ±{margin:g}: {amount}."
    if each.word == "undecided":
        needed = f"; about {plural(each.seeds_needed, 'seed')} would decide" if each.seeds_needed else ""
        return f"{each.a} against {each.b} is undecided: {amount}{needed}."
    return f"{each.a} is {each.word} than {each.b}: {amount}."


def on_dev(summaries: Sequence[Summary], compared: Sequence[Comparison], margin: float) -> list[str]:
    """A sentence for each comparison whose interval on dev lies wholly beside that on test, by more than the margin.

    Both are of the same students: the two splits are text of different kinds, or the settings suit dev alone.
    """
    if judged_on(summaries) != TEST_CE:
        return []
    by_arm = {summary.arm: summary for summary in summaries}
    said = []
    for each in compared:
        dev, test = by_arm[each.a].against[each.b].get(VAL_CE), each.difference
        if dev is None or dev.low is None or dev.high is None or test.low is None or test.high is None:
            continue
        if max(dev.low - test.high, test.low - dev.high) > margin:
            said.append(
                f"On dev, by which settings were chosen, {each.a} minus {each.b} is {dev.mean:+.4f} ({dev.low:+.4f} to "
                f"{dev.high:+.4f}): expect neither figure on other text."
            )
    return said


def split_of(name: str) -> str:
    """The split on which a cross-entropy is measured."""
    return "test" if name == TEST_CE else "dev"


def cells(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """The rows under `HEADER`: one for each arm and metric; accuracies in percent, differences in points."""
    rows = []
    for summary in summaries:
        for name, spread in summary.metrics.items():
            measure = metric(name)
            sd = "" if spread.sd is None else f" ± {measure.text(spread.sd)}"
            compared = [_cell(summary.against.get(other, {}).get(name), measure) for other in ("logits", "plain")]
            if summary.arm == "plain":
                compared[0] = ""  # said the other way round
            figures = (str(spread.n), f"{measure.text(spread.mean)}{sd}")
            rows.append((f"{summary.arm} ({summary.config})", measure.title, *figures, *compared))
    return rows


def table(summaries: Sequence[Summary]) -> Table:
    """The comparison for a terminal."""
    title = f"the best of each arm with fresh seeds, differences with {100 * LEVEL:.0f} % intervals"
    shown = Table(title=title, title_justify="left")
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


def _sd(difference: Difference) -> float:
    """The standard deviation of the differences, from their interval."""
    from scipy import stats

    assert difference.half_width is not None  # an interval of one seed does not exist
    return difference.half_width * math.sqrt(difference.n) / float(stats.t.ppf((1 + LEVEL) / 2, difference.n - 1))


def _cell(change: Difference | None, measure: Metric) -> str:
    """`+0.6 ± 0.5`; the figure after ± is half the interval."""
    if change is None:
        return ""
    half = "" if change.half_width is None else f" ± {measure.text(change.half_width)}"
    return f"{measure.text(change.mean, signed=True)}{half}"
