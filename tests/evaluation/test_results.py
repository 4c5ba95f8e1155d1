import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult

LARGE = ParadigmResult("large", "binding", pairs=1000, correct=700, ties=5)
SMALL = ParadigmResult("small", None, pairs=10, correct=4, ties=0)


@pytest.mark.parametrize("result", [LARGE, SMALL])
def test_standard_error_is_that_of_a_mean_of_zeros_and_ones(result: ParadigmResult) -> None:
    outcomes = [1] * result.correct + [0] * (result.pairs - result.correct)
    assert result.accuracy == statistics.mean(outcomes)
    assert result.stderr == pytest.approx(statistics.stdev(outcomes) / math.sqrt(result.pairs), rel=1e-12)


def test_the_suite_weighs_paradigms_alike_and_says_the_other_mean_too() -> None:
    suite = MinimalPairResults((LARGE, SMALL), seconds=1.5)
    assert suite.accuracy == pytest.approx((0.7 + 0.4) / 2)
    assert suite.pair_weighted_accuracy == pytest.approx(704 / 1010)
    assert (suite.pairs, suite.ties) == (1010, 5)
    # Pooled variance by hand: sums of squared deviations over the degrees of freedom, then of a mean over all pairs.
    squared_deviations = 1000 * 0.7 * 0.3 + 10 * 0.4 * 0.6
    assert suite.stderr == pytest.approx(math.sqrt(squared_deviations / (1010 - 2) / 1010), rel=1e-12)


def test_the_error_of_the_mean_over_sets_is_that_of_independent_means() -> None:
    suite = MinimalPairResults((LARGE, SMALL), seconds=1.5)
    assert LARGE.stderr is not None
    assert SMALL.stderr is not None
    assert suite.unweighted_mean_stderr == pytest.approx(math.sqrt(LARGE.stderr**2 + SMALL.stderr**2) / 2, rel=1e-12)
    # by simulation: the spread of the mean of two shares, drawn again and again from their own rates
    draw = np.random.default_rng(5)
    means = (draw.binomial(1000, 0.7, 20_000) / 1000 + draw.binomial(10, 0.4, 20_000) / 10) / 2
    assert np.std(means) == pytest.approx(suite.unweighted_mean_stderr, rel=0.07)  # n - 1 against n, where n is 10
    # of sets of one size both errors are nearly the same: (k - 1) degrees of freedom in n k apart
    alike = MinimalPairResults((LARGE, replace(LARGE, uid="b", correct=600)), seconds=0.1)
    assert alike.unweighted_mean_stderr == pytest.approx(alike.stderr, rel=1e-12)


def test_phenomena_are_means_over_their_sets() -> None:
    other = ParadigmResult("other", "binding", pairs=10, correct=1, ties=0)
    terms = MinimalPairResults((LARGE, SMALL, other), seconds=0.1).terms
    assert list(terms) == ["binding"]
    assert terms["binding"].accuracy == pytest.approx((0.7 + 0.1) / 2)
    assert terms["binding"].pairs == 1010


def test_single_pairs_have_no_standard_error() -> None:
    single = ParadigmResult("one", None, pairs=1, correct=1, ties=0)
    assert single.stderr is None
    assert MinimalPairResults((single,), seconds=0.1).stderr is None
    assert MinimalPairResults((SMALL, single), seconds=0.1).unweighted_mean_stderr is None
    alone = MinimalPairResults((SMALL,), seconds=0.1)
    assert alone.stderr == pytest.approx(SMALL.stderr)
    assert MinimalPairResults((SMALL, single), seconds=0.1).stderr is not None


def test_to_dict_is_plain_json() -> None:
    values = json.loads(json.dumps(MinimalPairResults((LARGE, SMALL), seconds=1.5).to_dict()))
    assert list(values) == [
        "accuracy",
        "stderr",
        "unweighted_mean_stderr",
        "pair_weighted_accuracy",
        "pairs",
        "ties",
        "seconds",
        "paradigms",
        "terms",
    ]
    assert values["terms"] == {"binding": {"accuracy": 0.7, "stderr": LARGE.stderr, "paradigms": 1, "pairs": 1000}}
    assert values["paradigms"][0] == {
        "uid": "large",
        "term": "binding",
        "pairs": 1000,
        "correct": 700,
        "ties": 5,
        "accuracy": 0.7,
        "stderr": LARGE.stderr,
    }
