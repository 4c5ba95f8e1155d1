"""Paired differences: the intervals cover what they promise, and are those of scipy and of a hand calculation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from palenka_tune.evaluation.paired import ALIKE, NO_SPREAD, ONE_SEED, paired_difference

EXPERIMENTS = 5000


def normal(rng, shape):
    return rng.standard_normal(shape)


def skewed(rng, shape):
    """Half of the variance from an exponential: skewness 0.7."""
    return math.sqrt(0.5) * (rng.exponential(size=shape) - 1 + rng.standard_normal(shape))


def coverage(samples):
    """The share of the 95 % intervals that hold the true mean, 0."""
    zeros = [0.0] * samples.shape[1]
    return np.mean([paired_difference(sample, zeros).holds_zero for sample in samples])


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("draw", "least"), [(normal, 0.935), (skewed, 0.925)])
def test_95_percent_intervals_hold_the_truth_95_times_in_100(seeds, draw, least) -> None:
    assert least < coverage(draw(np.random.default_rng(seeds), (EXPERIMENTS, seeds))) < 0.97


def test_two_seeds_are_enough_for_an_honest_interval() -> None:
    assert 0.93 < coverage(normal(np.random.default_rng(2), (EXPERIMENTS, 2))) < 0.97


def test_the_percentile_bootstrap_would_fail_the_bounds_above() -> None:
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((EXPERIMENTS, 3))
    resampled = np.take_along_axis(samples[:, None], rng.integers(0, 3, (EXPERIMENTS, 400, 3)), axis=2).mean(axis=2)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.80


def test_the_interval_is_that_of_a_hand_calculation() -> None:
    """Differences -0.03, -0.07, -0.01, -0.10: mean -0.0525, sum of squared deviations 0.004875, t(3) 3.182446."""
    found = paired_difference([5.12, 5.09, 5.13, 5.05], [5.15, 5.16, 5.14, 5.15])
    half = 3.182446 * math.sqrt(0.004875 / 3) / math.sqrt(4)
    assert found.mean == pytest.approx(-0.0525, abs=1e-12)
    assert found.half_width == pytest.approx(half, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((-0.0525 - half, -0.0525 + half), rel=1e-6)
    assert (found.n, found.method) == (4, "Student's t over seeds")
    assert found.holds_zero is True
    narrower = paired_difference([5.12, 5.09, 5.13, 5.05], [5.15, 5.16, 5.14, 5.15], level=0.9)
    assert narrower.half_width == pytest.approx(half * 2.353363 / 3.182446, rel=1e-6)
    assert narrower.holds_zero is False


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_the_interval_is_that_of_scipys_paired_t_test(seeds, level) -> None:
    rng = np.random.default_rng(seeds)
    for scale in (1e-3, 1.0, 50.0):
        a, b = 5 + scale * rng.standard_normal(seeds), 5 + scale * rng.exponential(size=seeds)
        theirs = stats.ttest_rel(a, b)
        found = paired_difference(a, b, level=level)
        assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(level)), rel=1e-9)
        assert found.holds_zero == (theirs.pvalue >= 1 - level)


def test_the_other_way_round_is_the_mirror_image() -> None:
    a, b = [0.3, 0.1, 0.2], [0.0, 0.1, 0.3]
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert paired_difference(a, b) == there


def test_pairing_takes_out_what_the_seeds_share() -> None:
    shared = np.array([0.0, 3.0, -2.0])
    noise = np.array([0.01, -0.01, 0.0])
    assert paired_difference(shared + 1 + noise, shared).half_width < 0.05


def test_one_seed_has_no_interval() -> None:
    found = paired_difference([2.5], [3.0])
    assert (found.mean, found.low, found.high, found.n, found.method) == (-0.5, None, None, 1, ONE_SEED)
    assert found.half_width is None
    assert found.holds_zero is None


def test_equal_differences_have_no_interval_unless_there_is_no_difference() -> None:
    found = paired_difference([5.1, 4.1, 3.1], [5.0, 4.0, 3.0])  # 0.1 each, but for rounding
    assert (found.low, found.high, found.method) == (None, None, NO_SPREAD)
    assert found.mean == pytest.approx(0.1)
    same = paired_difference([5.1, 4.1], [5.1, 4.1])
    assert (same.mean, same.low, same.high, same.method) == (0.0, 0.0, 0.0, ALIKE)
    assert same.holds_zero is True


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0]), ([math.nan, 1.0], [0.0, 0.0])])
def test_what_cannot_be_paired_is_refused(a, b) -> None:
    with pytest.raises(ValueError, match="a and b must be"):
        paired_difference(a, b)
