"""What trials that no result chose say: twins, early looks, the expected best of n; by scipy and by brute force."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from palenka_tune.trials.arms import FIXED, HIDDEN, LOGITS, PLAIN, PROPOSED, STARTUP, UNSELECTED, never_paused
from palenka_tune.trials.evidence import FEWEST, early_looks, expected_best, look, tau_interval, twins
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED, TrialRow
from tests.trials.test_ledger import CONTINUOUS, RECIPE, arms_for, open_ledger, run_all

RATE = {"recipe.lr": 1e-3}


def row(number, arm, value, origin=STARTUP, state=COMPLETE, curve=None, **settings):
    weights = {PLAIN: {"alpha": 0.0, "beta": 0.0}, LOGITS: {"beta": 0.0}, HIDDEN: {}}[arm]
    return TrialRow(f"t{number}", state, arm, origin, {**weights, **settings}, val_ce=value, curve=curve or {})


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of a real ledger with three arms, whose sampler has proposals of its own too."""
    raw = {**CONTINUOUS, **RECIPE}
    ledger = open_ledger(tmp_path_factory.mktemp("twins"), raw, arms=arms_for(raw, {PLAIN: 4, LOGITS: 6, HIDDEN: 6}))
    run_all(ledger, value=lambda values: values.get("alpha", 1) - 0.01 * values.get("beta", 1))
    return ledger.rows()


@pytest.mark.parametrize(("a", "b"), [(HIDDEN, LOGITS), (LOGITS, PLAIN), (HIDDEN, PLAIN)])
def test_every_unselected_trial_of_an_arm_has_its_twin(rows, a, b):
    found = twins(rows, a, b)
    by_id = {row.trial_id: row for row in rows}
    assert len(found.pairs) == 5  # the fixed settings, four start-up points
    assert len({pair[0] for pair in found.pairs}) == len({pair[1] for pair in found.pairs}) == 5
    for first, second, difference in found.pairs:
        own, other = by_id[first], by_id[second]
        assert (own.arm, other.arm, own.origin) == (a, b, other.origin)
        assert own.origin != PROPOSED
        shared = set(own.settings) & set(other.settings) - {"alpha", "beta"}
        assert all(own.settings[name] == other.settings[name] for name in shared)
        assert difference == own.val_ce - other.val_ce
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_a_sampler_proposed_or_what_did_not_come_to_its_end_is_no_twin():
    alike = {"alpha": 2.0, **RATE}
    base = [row(1, HIDDEN, 3.0, beta=5.0, **alike), row(2, LOGITS, 3.1, **alike)]
    assert twins(base, HIDDEN, LOGITS).pairs == (("t1", "t2", pytest.approx(-0.1)),)
    for changed in (
        row(2, LOGITS, 3.1, origin=PROPOSED, **alike),
        row(2, LOGITS, 3.1, origin=FIXED, **alike),
        row(2, LOGITS, 3.1, state=PRUNED, **alike),
        row(2, LOGITS, None, state=FAILED, **alike),
        row(2, LOGITS, math.nan, **alike),
        row(2, LOGITS, 3.1, alpha=2.1, **RATE),
        row(2, LOGITS, 3.1, alpha=2.0, **{"recipe.lr": 2e-3}),
    ):
        none = twins([base[0], changed], HIDDEN, LOGITS)
        assert (none.pairs, none.better, none.worse, none.p) == ((), 0, 0, None)


def test_the_sign_test_is_the_binomial_one():
    generator = np.random.default_rng(0)
    for size in (1, 4, 9):
        own, other = generator.normal(3, 0.1, size), generator.normal(3.05, 0.1, size)
        pairs = [
            each
            for n in range(size)
            for each in (row(2 * n, HIDDEN, own[n], alpha=n + 1.0), row(2 * n + 1, LOGITS, other[n], alpha=n + 1.0))
        ]
        found = twins([*pairs, row(98, HIDDEN, 1.0, alpha=99.0), row(99, LOGITS, 1.0, alpha=99.0)], HIDDEN, LOGITS)
        better = int((own < other).sum())
        assert (found.better, found.worse, len(found.pairs)) == (better, size - better, size + 1)  # one tie
        tail = sum(math.comb(size, k) for k in range(min(better, size - better) + 1)) / 2**size
        assert found.p == pytest.approx(min(1.0, 2 * tail))


def curves(size, noise, seed=0):
    """Start-up trials whose early values are the late ones with noise."""
    generator = np.random.default_rng(seed)
    late = generator.normal(3, 0.1, size)
    early = {step: late + 1 + generator.normal(0, noise / step, size) for step in (25, 50)}
    return [
        row(n, HIDDEN, late[n], curve={25: early[25][n], 50: early[50][n], 100: late[n]}, alpha=1.0 + n)
        for n in range(size)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_look_is_what_scipy_and_counting_say(seed):
    generator = np.random.default_rng(seed)
    size = 8 + seed * 5
    late = generator.normal(3, 0.1, size)
    early = late + generator.normal(0, 0.1, size)
    found = look(early.tolist(), late.tolist(), 0.25)
    pairs = list(itertools.combinations(range(size), 2))
    in_order = sum((early[i] < early[j]) == (late[i] < late[j]) for i, j in pairs)
    assert (found.trials, found.pairs, found.pairs_in_order) == (size, len(pairs), in_order)
    assert found.tau == pytest.approx(stats.kendalltau(early, late)[0])
    assert found.tau == pytest.approx(2 * in_order / len(pairs) - 1)
    assert found.spearman == pytest.approx(stats.spearmanr(early, late)[0])
    assert found.regret == pytest.approx(late[np.argmin(early)] - late.min())
    assert found.low < found.tau < found.high
    json.dumps(found.to_dict(), allow_nan=False)


def test_pairs_of_one_arm_are_counted_apart():
    found = look([1, 2, 9, 8], [1, 2, 8, 9], 0.5, ["plain", "plain", "hidden", "hidden"])
    assert (found.pairs, found.pairs_in_order) == (6, 5)
    assert (found.within, found.within_in_order) == (2, 1)


def test_below_eight_trials_there_are_pairs_and_no_correlation():
    found = look([3, 1, 2], [30, 10, 9], 0.5)
    assert (found.trials, found.pairs, found.pairs_in_order, found.regret) == (3, 3, 2, 1)
    assert (found.tau, found.low, found.high, found.spearman) == (None,) * 4
    assert look(range(FEWEST - 1), range(FEWEST - 1), 0.5).tau is None
    perfect = look(range(FEWEST), range(FEWEST), 0.5)
    assert (perfect.tau, perfect.spearman, perfect.pairs_in_order) == (pytest.approx(1), pytest.approx(1), 28)
    assert look([], [], 0.5).regret is None


def test_an_early_look_is_at_each_rung_over_unselected_trials_that_came_to_their_end():
    known = curves(12, noise=2.0)
    others = [
        row(90, HIDDEN, 1.0, origin=PROPOSED, curve={25: 9.0, 100: 1.0}),
        row(91, HIDDEN, 1.0, state=PRUNED, curve={25: 9.0, 50: 9.0}),
        row(92, HIDDEN, None, state=FAILED, curve={25: 9.0}),
        row(93, PLAIN, 3.0, origin=FIXED, curve={100: 3.0}),
    ]
    looks = early_looks([*known, *others], 100)
    assert [(each.fraction, each.trials) for each in looks] == [(0.25, 12), (0.5, 12)]
    for each, step in zip(looks, (25, 50), strict=True):
        assert each == look([trial.curve[step] for trial in known], [trial.ce for trial in known], step / 100)
    assert early_looks(known, None) == []
    assert early_looks([], 100) == []


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_interval_of_tau_holds_the_true_one_as_often_as_it_says(rho):
    """Normal pairs with correlation rho have tau = 2 asin(rho) / pi."""
    generator, true, held = np.random.default_rng(0), 2 * math.asin(rho) / math.pi, 0
    for _ in range(400):
        x, noise = generator.normal(size=(2, 15))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        low, high = tau_interval(float(stats.kendalltau(x, y)[0]), 15)
        held += low <= true <= high
    assert 0.91 < held / 400 < 0.99


def test_the_interval_of_tau_stays_within_its_bounds():
    low, high = tau_interval(1.0, 8)  # a perfect order of few is no proof
    assert (0.8 < low < 0.9, high) == (True, 1.0)
    assert tau_interval(-1.0, 8) == (-1.0, -low)
    assert tau_interval(1.0, 80)[0] > low
    assert tau_interval(0.3, 4) == (-1.0, 1.0)
    widths = [high - low for low, high in (tau_interval(0.3, n) for n in (8, 20, 100))]
    assert widths == sorted(widths, reverse=True)
    assert all(-1 < end < 1 for n in (5, 8, 100) for end in tau_interval(0.95, n))


def test_the_expected_best_is_what_a_simulation_gives():
    generator = np.random.default_rng(0)
    values = generator.normal(3, 0.2, 9)
    curve = expected_best(values.tolist(), 12)
    assert len(curve) == 12
    for n, expected in enumerate(curve, 1):
        drawn = generator.choice(values, size=(40_000, n)).min(axis=1)
        assert expected == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 200 + 1e-9)
    assert curve[0] == pytest.approx(values.mean())
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] >= values.min()


def test_the_expected_best_of_nothing_is_nothing():
    assert expected_best([], 5) == []
    assert expected_best([3.0], 3) == pytest.approx([3.0] * 3)


def test_equal_values_have_no_correlation():
    assert look([1.0] * 9, [float(place) for place in range(9)], 0.5).tau is None


def test_as_many_trials_are_unselected_as_a_plan_says(rows):
    raw = {**CONTINUOUS, **RECIPE}
    arms = arms_for(raw, {PLAIN: 4, LOGITS: 6, HIDDEN: 6})
    assert never_paused(arms, "tpe") == sum(row.origin in UNSELECTED for row in rows)
