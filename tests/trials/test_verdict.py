"""The verdict: right numbers, right words at the rates that they promise, whichever way it went."""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.paired import Difference, paired_difference
from palenka_tune.trials.rows import FinalistRow
from palenka_tune.trials.verdict import (
    HEADER,
    MOST_SEEDS,
    best,
    cells,
    comparisons,
    judged_on,
    markdown,
    power,
    power_of_equivalence,
    seeds_needed,
    sentence,
    summarise,
    table,
    verdict,
    word_for,
)

NOISE = (0.0, 0.03, -0.02)  # what a seed does to every configuration
MARGIN = 0.01
CONFIGS = {"plain": "trial-0000", "logits": "trial-0007", "hidden": "trial-0009"}


def student(arm, seed, val_ce, blimp=None, test_ce=None, **more):
    scores = {"blimp": blimp, **more} if blimp else {}
    return FinalistRow(CONFIGS[arm], arm, seed, val_ce=val_ce, test_ce=test_ce, scores=scores)


def rows(seeds=3):
    """On dev: logits is better than plain by far, hidden is worse than logits."""
    found = []
    for seed in range(seeds):
        wobble = 0.001 * (seed - 1)
        found += [
            student("hidden", seed, 5.20 + NOISE[seed] - wobble, 0.600),
            student("logits", seed, 5.11 + NOISE[seed] + wobble, 0.606 + 5 * wobble, blimp_supplement=0.50 - wobble),
            student("plain", seed, 5.28 + NOISE[seed] + 2 * wobble, 0.590, blimp_supplement=0.52),
        ]
    return found


def pair(differences, base=5.0, a="logits", b="plain"):
    """Students of two arms with these differences, by seed."""
    return [
        each
        for seed, difference in enumerate(differences)
        for each in (student(a, seed, base + difference + 0.1 * seed), student(b, seed, base + 0.1 * seed))
    ]


def compared(differences, **more):
    (found,) = comparisons(summarise(pair(differences, **more)), MARGIN)
    return found


def test_a_summary_has_mean_deviation_and_paired_differences() -> None:
    found = summarise(rows())
    assert [summary.arm for summary in found] == ["plain", "logits", "hidden"]
    assert [summary.config for summary in found] == [*CONFIGS.values()]
    logits = found[1]
    own = [row.val_ce for row in rows() if row.arm == "logits"]
    other = [row.val_ce for row in rows() if row.arm == "plain"]
    assert logits.seeds == (0, 1, 2)
    assert logits.metrics["val_ce"].mean == pytest.approx(sum(own) / 3)
    assert logits.metrics["val_ce"].sd == pytest.approx(statistics.stdev(own))
    assert logits.against["plain"]["val_ce"] == paired_difference(own, other)
    assert logits.against["plain"]["val_ce"].mean == pytest.approx(-0.17)
    assert logits.against["hidden"]["val_ce"].mean == pytest.approx(-0.09)
    assert "logits" not in logits.against
    assert "blimp_supplement" not in found[2].metrics
    assert "blimp_supplement" not in logits.against["hidden"]
    assert json.loads(json.dumps(logits.to_dict()))["against"]["plain"]["val_ce"]["n"] == 3


def test_seeds_are_paired_whatever_the_order_of_the_rows() -> None:
    assert summarise(rows()[::-1]) == summarise(rows())


def test_arms_are_compared_in_one_order_as_far_as_there_are_two() -> None:
    found = comparisons(summarise(rows()), MARGIN)
    assert [(each.a, each.b) for each in found] == [("hidden", "logits"), ("logits", "plain"), ("hidden", "plain")]
    assert [each.word for each in found] == ["worse", "better", "better"]
    assert {each.seeds_needed for each in found} == {None}
    without = summarise([row for row in rows() if row.arm != "logits"])
    assert [(each.a, each.b) for each in comparisons(without, MARGIN)] == [("hidden", "plain")]
    assert comparisons(summarise([row for row in rows() if row.arm == "plain"]), MARGIN) == []


def test_the_verdict_says_the_best_and_each_difference() -> None:
    assert verdict(summarise(rows()), MARGIN) == (
        "Best: logits (trial-0007), 5.1133 nats per token on dev (3 fresh seeds). "
        "hidden is worse than logits: +0.0900 nats per token (95 % interval +0.0850 to +0.0950). "
        "logits is better than plain: -0.1700 nats per token (95 % interval -0.1725 to -0.1675). "
        "hidden is better than plain: -0.0800 nats per token (95 % interval -0.0875 to -0.0725)."
    )


def test_it_is_judged_on_test_where_the_corpus_has_one() -> None:
    """Also where test says the opposite of dev."""
    tested = [replace(row, test_ce=9.0 - row.val_ce) for row in rows()]
    found = summarise(tested)
    assert judged_on(found) == "test_ce"
    assert judged_on(summarise(rows())) == "val_ce"
    assert best(found).arm == "plain"
    assert [each.word for each in comparisons(found, MARGIN)] == ["better", "worse", "worse"]
    assert verdict(found, MARGIN).startswith("Best: plain (trial-0000), 3.7167 nats per token on test (3 fresh seeds).")
    assert [row[1] for row in cells(found) if "CE" in row[1]] == [
        "dev CE (nats per token)",
        "test CE (nats per token)",
    ] * 3


def test_it_says_where_dev_tells_another_story_than_test() -> None:
    for gain in (1.0, 0.97):  # apart by no more than the margin
        alike = [replace(row, test_ce=5.0 + NOISE[row.seed] + gain * (row.val_ce - 5.0)) for row in rows()]
        assert "On dev" not in verdict(summarise(alike), MARGIN)
    shrunk = [replace(row, test_ce=5.0 + NOISE[row.seed] + (row.val_ce - 5.0) / 3) for row in rows()]
    assert (
        "On dev, by which settings were chosen, logits minus plain is -0.1700 (-0.1725 to -0.1675): expect neither "
        "figure on other text."
    ) in verdict(summarise(shrunk), MARGIN)


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ((-0.02, -0.021, -0.019), "better"),
        ((0.02, 0.021, 0.019), "worse"),
        ((0.001, -0.001, 0.0), "equivalent"),
        ((-0.002, -0.003, -0.004), "equivalent"),  # lower for certain, and by nothing that matters
        ((0.01, -0.01, 0.0), "undecided"),
        ((-0.2, 0.1, -0.1), "undecided"),
        ((-0.009, -0.010, -0.011), "better"),  # part of the interval is beyond the margin
        ((0.0, 0.0, 0.0), "equivalent"),
        ((-0.25,), "undecided"),
    ],
)
def test_the_four_words(differences, word) -> None:
    found = compared(differences)
    assert found.word == word
    assert (found.seeds_needed is not None) == (word == "undecided" and len(differences) > 1)
    mirrored = {"better": "worse", "worse": "better"}
    assert compared([-difference for difference in differences]).word == mirrored.get(word, word)


def test_the_words_hold_at_the_very_edges_of_the_interval() -> None:
    def word(low, high):
        return word_for(Difference((low + high) / 2, low, high, 5, "t"), 0.01)

    assert word(-0.0099, 0.0099) == "equivalent"
    assert word(-0.01, 0.0) == word(0.0, 0.01) == word(-0.02, 0.0001) == "undecided"
    assert (word(-0.02, -0.0001), word(0.0001, 0.02)) == ("better", "worse")


@pytest.mark.parametrize(
    ("differences", "text"),
    [
        (
            (-0.02, -0.021, -0.019),
            "logits is better than plain: -0.0200 nats per token (95 % interval -0.0225 to -0.0175).",
        ),
        (
            (0.001, -0.001, 0.0),
            "logits and plain are equivalent within ±0.01: +0.0000 nats per token (95 % interval -0.0025 to +0.0025).",
        ),
        ((-0.25,), "logits against plain is undecided: -0.2500 nats per token (one seed: no interval)."),
    ],
)
def test_a_comparison_in_a_sentence(differences, text) -> None:
    found = compared(differences, base=0.0)
    assert sentence(found, MARGIN).replace("-0.0000", "+0.0000") == text


def test_what_is_undecided_says_how_many_seeds_would_decide() -> None:
    found = compared((0.02, -0.01, 0.01))
    assert found.word == "undecided"
    assert sentence(found, MARGIN).endswith(f"; about {found.seeds_needed} seeds would decide.")
    sd = statistics.stdev((0.02, -0.01, 0.01))
    assert found.seeds_needed == seeds_needed(found.difference.mean, pytest.approx(sd).expected, MARGIN) > 3
    hopeless = compared((1.0, -1.0, 0.02))
    assert (hopeless.word, hopeless.seeds_needed) == ("undecided", None)
    assert sentence(hopeless, MARGIN).endswith(").")


def test_equal_differences_are_no_certainty() -> None:
    found = compared((-0.25, -0.25))
    assert (found.word, found.seeds_needed) == ("undecided", None)
    assert "-0.2500 nats per token (no spread between the differences: no interval)" in sentence(found, MARGIN)
    assert compared((0.0, 0.0)).word == "equivalent"


def test_no_sentence_claims_a_change_that_its_figures_do_not_show() -> None:
    """Such as "lowered by 0.000 ± 0.079"."""
    generator = np.random.default_rng(0)
    said = set()
    for _ in range(600):
        effect, sd = generator.choice([0, 0.0001, 0.004, 0.02, 0.1]), generator.choice([0.0005, 0.005, 0.05])
        found = compared(generator.normal(effect, sd, int(generator.integers(1, 7))) * generator.choice([-1, 1]))
        text = sentence(found, MARGIN)
        assert not re.search("lowered|raised|distinguishable|±(?!0.01: )", text)
        figures = [float(figure) for figure in re.findall(r"[+-]\d+\.\d{4}", text)]
        said.add(found.word)
        if found.word in ("better", "worse"):
            mean, low, high = figures
            assert (low <= mean <= high < 0.00005) if found.word == "better" else (-0.00005 < low <= mean <= high)
            assert max(abs(low), abs(high)) >= MARGIN - 0.00005
        elif len(figures) == 3 and found.word == "undecided":
            assert figures[1] <= 0.0 <= figures[2]
    assert said == {"better", "worse", "equivalent", "undecided"}


def words_at(effect, sd, seeds, runs=1000):
    """How often each word is said where the differences have this mean and deviation."""
    generator, counts = np.random.default_rng(1), dict.fromkeys(("better", "worse", "equivalent", "undecided"), 0)
    for differences in generator.normal(effect, sd, (runs, seeds)):
        counts[word_for(paired_difference(differences, np.zeros(seeds)), MARGIN)] += 1
    return {word: count / runs for word, count in counts.items()}


@pytest.mark.parametrize("sd", [0.001, 0.005, 0.02, 0.1])
@pytest.mark.parametrize("seeds", [2, 5])
def test_without_an_effect_a_difference_is_claimed_in_no_more_than_one_of_twenty(sd, seeds) -> None:
    said = words_at(0.0, sd, seeds)
    assert said["better"] + said["worse"] <= 0.05 + 0.021  # three standard errors
    assert said["equivalent"] == pytest.approx(power_of_equivalence(0.0, sd, seeds, MARGIN), abs=0.04)


@pytest.mark.parametrize("effect", [MARGIN, -MARGIN, 0.015])
def test_an_effect_as_large_as_the_margin_is_hardly_ever_called_equivalent(effect) -> None:
    for sd in (0.002, 0.008, 0.03):
        said = words_at(effect, sd, 5)
        assert said["equivalent"] <= 0.025 + 0.015
        assert said["worse" if effect < 0 else "better"] <= 0.025 + 0.015


@pytest.mark.parametrize(
    ("effect", "sd", "seeds"), [(-0.02, 0.01, 5), (0.05, 0.06, 5), (-0.02, 0.02, 10), (0.03, 0.01, 3)]
)
def test_an_effect_is_found_as_often_as_its_power_says(effect, sd, seeds) -> None:
    said = words_at(effect, sd, seeds)
    expected = power(effect, sd, seeds)
    assert 0.2 < expected < 0.99
    assert said["better" if effect < 0 else "worse"] == pytest.approx(expected, abs=0.045)
    assert power(-effect, sd, seeds) == expected


def test_power_of_nothing_is_what_chance_gives_and_of_one_seed_none() -> None:
    assert power(0.0, 1.0, 5) == pytest.approx(0.025)
    assert power(1.0, 1.0, 1) == power_of_equivalence(0.0, 1.0, 1, 2.0) == 0.0
    assert power_of_equivalence(MARGIN, 1e-6, 50, MARGIN) == 0.0
    assert power(1.0, 0.001, 3) == pytest.approx(1.0)
    powers = [power(0.01, 0.02, n) for n in range(2, 60)]
    assert powers == sorted(powers)


@pytest.mark.parametrize("effect", [0.0, 0.002, -0.02, 0.05])
@pytest.mark.parametrize("sd", [0.002, 0.01, 0.03])
def test_the_seeds_that_are_needed_are_the_fewest_with_enough_power(effect, sd) -> None:
    def enough(n):
        return max(power(effect, sd, n), power_of_equivalence(effect, sd, n, MARGIN)) >= 0.8

    found = seeds_needed(effect, sd, MARGIN)
    assert found is not None
    assert enough(found)
    assert not any(enough(n) for n in range(2, min(found, 50)))
    assert found < 50 or not enough(round(0.95 * found))
    said = words_at(effect, sd, found, runs=400)
    assert 1 - said["undecided"] >= 0.8 - 0.06


def test_seeds_that_nobody_has_are_not_named() -> None:
    assert seeds_needed(0.0005, 1.0, MARGIN) is None
    assert seeds_needed(0.01, 0.0, MARGIN) is None
    assert seeds_needed(MARGIN, 0.25, MARGIN) is None
    assert MOST_SEEDS * 0.9 < seeds_needed(MARGIN, 0.11, MARGIN) <= MOST_SEEDS


def test_an_undecided_difference_needs_more_seeds_than_it_had() -> None:
    generator, named = np.random.default_rng(0), 0
    for _ in range(150):
        seeds, sd = int(generator.integers(2, 8)), generator.choice([0.003, 0.01, 0.02])
        found = compared(generator.normal(generator.choice([0, 0.005, 0.02]), sd, seeds))
        if found.seeds_needed is not None:
            named += 1
            assert found.word == "undecided"
            assert found.seeds_needed > seeds
    assert named > 50


def test_one_seed_has_no_interval_and_says_so() -> None:
    found = summarise(rows(seeds=1))
    assert found[1].metrics["val_ce"].sd is None
    said = verdict(found, MARGIN)
    assert said.startswith("Best: logits (trial-0007), 5.1090 nats per token on dev (1 fresh seed). ")
    assert "logits against plain is undecided: -0.1690 nats per token (one seed: no interval)." in said
    assert "better" not in said


def test_a_student_that_diverged_leaves_its_seed_out() -> None:
    for nothing in (None, math.nan, math.inf):
        broken = [
            replace(row, val_ce=nothing, diverged="nan") if (row.arm, row.seed) == ("plain", 1) else row
            for row in rows()
        ]
        found = summarise(broken)
        assert found[1].against["plain"]["val_ce"].n == 2
        assert found[1].against["hidden"]["val_ce"].n == 3
        assert found[0].metrics["val_ce"].n == 2
        assert found[1].against["plain"]["blimp"].n == 3
        assert [each.difference.n for each in comparisons(found, MARGIN)] == [3, 2, 2]


def test_a_test_value_that_one_student_lacks_leaves_its_seed_out() -> None:
    tested = [replace(row, test_ce=row.val_ce if (row.arm, row.seed) != ("hidden", 2) else None) for row in rows()]
    assert [each.difference.n for each in comparisons(summarise(tested), MARGIN)] == [2, 3, 2]


def test_an_arm_that_lost_a_seed_is_not_the_best() -> None:
    lucky = [replace(row, val_ce=4.0 if row.seed == 0 else None) if row.arm == "hidden" else row for row in rows()]
    assert best(summarise(lucky)).arm == "logits"


def test_no_student_no_verdict() -> None:
    found = summarise([student("plain", 0, math.nan), student("logits", 0, None)])
    assert best(found) is None
    assert comparisons(found, MARGIN) == []
    nothing = "No student was trained to its end with a fresh seed, so there is nothing to compare."
    assert verdict(found, MARGIN) == verdict(summarise([]), MARGIN) == nothing


def test_arms_without_a_seed_in_common_are_not_compared() -> None:
    found = summarise([student("plain", 0, 5.0), student("logits", 1, 4.0)])
    assert comparisons(found, MARGIN) == []
    assert found[1].against == {"plain": {}}
    assert verdict(found, MARGIN) == "Best: logits (trial-0007), 4.0000 nats per token on dev (1 fresh seed)."


def test_the_tables_show_every_metric_with_its_interval() -> None:
    found = summarise(rows())
    lines = cells(found)
    assert len(lines) == 3 + 3 + 2
    by_row = {line[:2]: line[2:] for line in lines}
    ce = "dev CE (nats per token)"
    logits, plain, hidden = (f"{arm} ({CONFIGS[arm]})" for arm in ("logits", "plain", "hidden"))
    assert by_row[logits, ce] == ("3", "5.1133 ± 0.0248", "", "-0.1700 ± 0.0025")
    assert by_row[hidden, ce][2:] == ("+0.0900 ± 0.0050", "-0.0800 ± 0.0075")
    assert by_row[plain, ce] == ("3", "5.2833 ± 0.0244", "", "")
    assert by_row[logits, "BLiMP (%)"] == ("3", "60.6 ± 0.5", "", "+1.6 ± 1.2")
    assert by_row[hidden, "BLiMP (%)"] == ("3", "60.0 ± 0.0", "-0.6 ± 1.2", "+1.0")
    console = Console(width=160)
    with console.capture() as printed:
        console.print(table(found))
    assert "-0.1700 ± 0.0025" in printed.get()
    text = markdown(found).splitlines()
    assert len({line.count("|") for line in text}) == 1
    assert len(text) == 2 + len(lines)
    assert all(heading in text[0] for heading in HEADER)
    assert "| logits (trial-0007) | BLiMP (%) | 3 | 60.6 ± 0.5 |" in "\n".join(text)


def test_a_comparison_as_json_has_what_the_contract_lists() -> None:
    found = compared((0.02, -0.01, 0.01)).to_dict()
    assert set(found) == {"a", "b", "difference", "low", "high", "seeds", "word", "seeds_needed"}
    assert found["low"] < found["difference"] < found["high"]
    json.dumps(compared((0.5,)).to_dict(), allow_nan=False)


def test_what_is_not_paired_by_seed_is_refused() -> None:
    with pytest.raises(PalenkaError, match="the arm logits has two rows of seed 0"):
        summarise([*rows(), student("logits", 0, 5.0)])
