"""What a search's own trials say beside its winner: twins of two arms, early looks, and the best of n to be expected.

All of it is from trials that no result chose (`arms.UNSELECTED`): fixed settings and start-up points, trained to their
ends. Values are val_ce in nats per token.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from palenka_tune.trials.arms import STARTUP, UNSELECTED
from palenka_tune.trials.rows import TrialRow

FEWEST = 8  # trials below which a rank correlation says nothing; pairs are still counted
LEVEL = 0.95
TWINS = (("hidden", "logits"), ("logits", "plain"))  # arms of which the first has all settings of the second


@dataclass(frozen=True)
class Twins:
    """Trials of two arms that are equal in all settings that both arms have: `a` minus `b`, a difference for each pair.

    `better` and `worse` count the pairs in which `a` has the lower, the higher val_ce; `p` is the two-sided sign
    test's (None: no pair differs).
    """

    a: str
    b: str
    pairs: tuple[tuple[str, str, float], ...]
    better: int
    worse: int
    p: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def twins(rows: Iterable[TrialRow], a: str, b: str) -> Twins:
    """The twins among the unselected trials of the arms `a` and `b`; `a` has all settings of `b` and more."""
    from scipy import stats  # type: ignore[import-untyped]

    points = [row for row in rows if row.origin in UNSELECTED and row.is_complete]
    pairs = [
        (row.trial_id, other.trial_id, row.ce - other.ce)
        for row, other in itertools.product(points, points)
        if (row.arm, other.arm, row.origin) == (a, b, other.origin) and _equal(row.settings, other.settings)
    ]
    better, worse = sum(pair[2] < 0 for pair in pairs), sum(pair[2] > 0 for pair in pairs)
    p = float(stats.binomtest(better, better + worse).pvalue) if better + worse else None
    return Twins(a, b, tuple(pairs), better, worse, p)


def _equal(settings: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether trials agree in all settings of the `other`, but for the weights of 0 that make its arm."""
    names = [name for name, value in other.items() if value or name not in ("alpha", "beta")]
    return all(name in settings and settings[name] == other[name] for name in names)


@dataclass(frozen=True)
class EarlyLook:
    """What the values at a fraction of the steps say of the end, over `trials`.

    `pairs_in_order` of `pairs` are ordered as at the end; `within` counts those of two trials of one arm, which is what
    a rung judges, and `within_in_order` those of them that are ordered as at the end. `tau` is Kendall's with its
    interval [low, high] (None: too few trials), `regret` how much the trial that leads at the look is worse than the
    best at the end, in nats per token.
    """

    fraction: float
    trials: int
    pairs: int
    pairs_in_order: int
    within: int
    within_in_order: int
    tau: float | None
    low: float | None
    high: float | None
    spearman: float | None
    regret: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def early_looks(rows: Iterable[TrialRow], total_steps: int | None) -> list[EarlyLook]:
    """A look for every rung at which unselected trials reported, over those that came to their end."""
    known = [row for row in rows if row.origin in UNSELECTED and row.is_complete and len(row.curve) > 1]
    steps = sorted({step for row in known for step in row.curve if total_steps and step < total_steps})
    looks = []
    for step in steps:
        reported = [row for row in known if step in row.curve]
        early, late = [row.curve[step] for row in reported], [row.ce for row in reported]
        looks.append(look(early, late, step / (total_steps or 1), [row.arm for row in reported]))
    return looks


def look(
    early: Sequence[float], late: Sequence[float], fraction: float, arms: Sequence[str] | None = None
) -> EarlyLook:
    """How well `early` values order what `late` ones order; both are of the same trials, lower is better. `arms` are
    those of the trials (None: one arm)."""
    from scipy import stats

    n, pairs = len(early), list(itertools.combinations(range(len(early)), 2))
    agree = {(i, j): (early[i] - early[j]) * (late[i] - late[j]) > 0 for i, j in pairs}
    own = [pair for pair in pairs if arms is None or arms[pair[0]] == arms[pair[1]]]
    counts = len(pairs), sum(agree.values()), len(own), sum(agree[pair] for pair in own)
    tau = low = high = spearman = None
    if n >= FEWEST and len(set(early)) > 1 and len(set(late)) > 1:  # without an order there is no correlation
        tau, spearman = float(stats.kendalltau(early, late)[0]), float(stats.spearmanr(early, late)[0])
        low, high = tau_interval(tau, n)
    regret = late[min(range(n), key=lambda each: early[each])] - min(late) if n else None
    return EarlyLook(round(fraction, 4), n, *counts, tau, low, high, spearman, regret)


def tau_interval(tau: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The interval of Kendall's tau over `n` pairs, by Fisher's z with variance 0.437 / (n - 4) (Fieller, Hartley and
    Pearson 1957).

    A perfect order counts as one with half a pair out of place: its z is infinite, its certainty is not.
    """
    from scipy import stats

    if n <= 4:
        return -1.0, 1.0
    most = 1 - 2 / (n * (n - 1))
    z = math.atanh(max(-most, min(most, tau)))
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(0.437 / (n - 4))
    return min(math.tanh(z - half), tau), max(math.tanh(z + half), tau)


def random_values(rows: Iterable[TrialRow], arm: str) -> list[float]:
    """The ends of an arm's random start-up trials."""
    return [row.ce for row in rows if row.arm == arm and row.origin == STARTUP and row.is_complete]


def expected_best(values: Sequence[float], most: int) -> list[float]:
    """The expected lowest of n random trials, for n from 1 to `most`, from the values of random trials (Dodge et al.
    2019, equation 4, turned around: lower is better)."""
    ordered = sorted(values)
    size = len(ordered)
    curve = []
    for n in range(1, most + 1 if size else 1):
        # the chance that none of n is below place k is (1 - k / size) ^ n
        chances = [((size - k) / size) ** n - ((size - k - 1) / size) ** n for k in range(size)]
        curve.append(sum(chance * value for chance, value in zip(chances, ordered, strict=True)))
    return curve
