"""Paired differences: the intervals cover what they promise, and the sums are those of slow loops."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest

from palenka_tune.evaluation.paired import ALIKE, NO_SPREAD, ONE_SEED, paired_difference, paired_items

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


def test_the_interval_is_that_of_a_slow_loop() -> None:
    a, b = [5.12, 5.09, 5.13, 5.05], [5.15, 5.16, 5.14, 5.15]
    draws = np.random.default_rng(7).standard_normal((500, 4))
    sizes = []
    for row in draws.tolist():
        sizes.append(abs(statistics.fmean(row)) / (statistics.stdev(row) / math.sqrt(4)))
    sizes.sort()
    place = 0.9 * (len(sizes) - 1)
    below = math.floor(place)
    multiplier = sizes[below] + (place - below) * (sizes[below + 1] - sizes[below])
    differences = [x - y for x, y in zip(a, b, strict=True)]
    half = multiplier * statistics.stdev(differences) / math.sqrt(4)

    found = paired_difference(a, b, level=0.9, seed=7, resamples=500)
    assert found.mean == pytest.approx(statistics.fmean(differences), abs=1e-12)
    assert found.half_width == pytest.approx(half, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    assert found.n == 4


def test_many_resamples_give_students_t() -> None:
    found = paired_difference([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5, resamples=400_000)
    assert found.half_width == pytest.approx(2.7764 * math.sqrt(2.5) / math.sqrt(5), rel=0.01)


def test_a_seed_gives_the_same_interval_and_another_one_another() -> None:
    a, b = [0.3, 0.1, 0.2], [0.0, 0.1, 0.3]
    assert paired_difference(a, b, seed=4) == paired_difference(a, b, seed=4)
    assert paired_difference(a, b, seed=4) != paired_difference(a, b, seed=5)
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


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


def test_items_are_resampled_within_sets_that_weigh_the_same() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(["long", "short", "middle"], [1200, 150, 500])
    a, b = rng.random(1850) < 0.72, rng.random(1850) < 0.64
    found = paired_items(a, b, groups, resamples=40_000)
    means, squares = [], 0.0
    for name in ("long", "short", "middle"):
        differences = [int(x) - int(y) for x, y, group in zip(a, b, groups, strict=True) if group == name]
        means.append(statistics.fmean(differences))
        squares += statistics.pvariance(differences) / len(differences)
    error = math.sqrt(squares) / 3
    assert found.mean == pytest.approx(statistics.fmean(means), abs=1e-12)
    assert found.half_width == pytest.approx(1.96 * error, rel=0.03)
    assert (found.low + found.high) / 2 == pytest.approx(found.mean, abs=0.1 * error)
    assert found.n == 1850


def test_items_in_another_order_give_the_same_interval() -> None:
    random.seed(1)
    rows = [(random.random() < 0.6, random.random() < 0.5, random.choice("xyz")) for _ in range(300)]
    there = paired_items(*(np.array(column) for column in zip(*rows, strict=True)))
    random.shuffle(rows)
    again = paired_items(*(np.array(column) for column in zip(*rows, strict=True)))
    assert (again.low, again.high) == pytest.approx((there.low, there.high))
    assert again == paired_items(*(np.array(column) for column in zip(*rows, strict=True)))


def test_answers_may_be_means_over_seeds() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random((3, 900)) < 0.7).mean(axis=0), (rng.random((3, 900)) < 0.7).mean(axis=0)
    found = paired_items(a, b, ["one"] * 900)
    assert found.mean == pytest.approx((a - b).mean())
    assert found.half_width == pytest.approx(1.96 * (a - b).std() / 30, rel=0.05)


def test_items_without_spread_have_no_interval() -> None:
    right, wrong = np.ones(4), np.zeros(4)
    assert paired_items(right, wrong, list("aabb")).method == NO_SPREAD
    assert paired_items(right, right, list("aabb")).holds_zero is True
    one_item_each = paired_items(np.array([1, 0]), np.array([0, 1]), ["x", "y"])
    assert (one_item_each.mean, one_item_each.holds_zero, one_item_each.method) == (0.0, None, NO_SPREAD)
    with pytest.raises(ValueError, match="as many answers"):
        paired_items(right, wrong[:3], list("aabb"))
