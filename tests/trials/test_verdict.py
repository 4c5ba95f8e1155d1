"""The verdict: right numbers, right words, whichever way it went."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import pytest
from rich.console import Console

from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.paired import paired_difference
from palenka_tune.trials.rows import FinalistRow
from palenka_tune.trials.verdict import best, cells, markdown, sentence, summarise, table, verdict

NOISE = (0.0, 0.03, -0.02)  # what a seed does to every configuration


BETAS = {"trial-0007": 3.125}


def student(config, seed, val_ce, blimp=None, role=None, beta=None, **more):
    role = role or ("finalist" if config.startswith("trial") else "anchor")
    beta = BETAS.get(config, 0.0) if beta is None else beta
    scores = {"blimp": blimp, **more} if blimp else {}
    return FinalistRow(config, role, seed, beta=beta, val_ce=val_ce, scores=scores)


def rows(seeds=3):
    found = []
    for seed in range(seeds):
        wobble = 0.001 * (seed - 1)
        found += [
            student("trial-0009", seed, 5.20 + NOISE[seed] - wobble, 0.600),
            student(
                "trial-0007", seed, 5.11 + NOISE[seed] + wobble, 0.606 + 5 * wobble, blimp_supplement=0.50 - wobble
            ),
            student("vanilla_kd", seed, 5.15 + NOISE[seed], 0.600, blimp_supplement=0.52),
            student("no_distillation", seed, 5.28 + NOISE[seed] + 2 * wobble, 0.590),
        ]
    return found


def without_suites(students):
    return [replace(row, scores={}) for row in students]


def test_a_summary_has_mean_deviation_and_paired_differences() -> None:
    found = summarise(rows())
    assert [summary.config for summary in found] == ["no_distillation", "vanilla_kd", "trial-0007", "trial-0009"]
    finalist = found[2]
    own = [row.val_ce for row in rows() if row.config == "trial-0007"]
    other = [row.val_ce for row in rows() if row.config == "vanilla_kd"]
    assert finalist.metrics["val_ce"].mean == pytest.approx(sum(own) / 3)
    assert finalist.metrics["val_ce"].sd == pytest.approx(statistics.stdev(own))
    assert finalist.against["vanilla_kd"]["val_ce"] == paired_difference(own, other)
    assert finalist.against["no_distillation"]["val_ce"].mean == pytest.approx(-0.17)
    assert "vanilla_kd" not in found[1].against
    assert "blimp_supplement" not in found[0].metrics
    assert json.loads(json.dumps(finalist.to_dict()))["against"]["vanilla_kd"]["val_ce"]["n"] == 3


def test_seeds_are_paired_whatever_the_order_of_the_rows() -> None:
    assert summarise(rows()[::-1]) == summarise(rows())


def test_the_sentence_of_the_issue() -> None:
    found = summarise(rows())
    assert sentence(found[2]) == (
        "deep supervision (trial-0007, β 3.12) lowered dev CE by 0.040 ± 0.002 nats per token against vanilla KD "
        "(3 seeds, 95 % interval); BLiMP +0.6 ± 1.2 points, not distinguishable; BLiMP-supplement -2.0 ± 0.2 points"
    )
    assert sentence(found[3]).endswith("; BLiMP-supplement without a seed in common")
    assert verdict(found) == f"Best of 2 finalists: {sentence(found[2])}."


def test_it_says_when_it_went_the_other_way() -> None:
    others = [row for row in rows() if row.config != "no_distillation"]
    found = summarise([replace(row, beta=7.0) if row.config == "trial-0009" else row for row in others])
    assert sentence(found[2]).startswith("deep supervision (trial-0009, β 7) raised dev CE by 0.050 ± 0.002 nats")
    assert "no seed in common with no distillation" in sentence(found[2], against="no_distillation")


def test_without_beta_nothing_is_said_of_deep_supervision() -> None:
    found = summarise([replace(row, beta=9.0 * (row.config == "trial-0009")) for row in without_suites(rows())])
    assert verdict(found).startswith("Best of 2 finalists: trial-0007 (no deep supervision, β 0) lowered dev CE by")
    assert "deep supervision (" not in verdict(found)


def test_other_settings_that_changed_are_named() -> None:
    found = summarise(rows(), {"trial-0007": ["alpha", "temperature"]})
    assert "(trial-0007, β 3.12; alpha, temperature changed too) lowered" in sentence(found[2])
    assert "changed too" not in sentence(found[2], against="no_distillation")


def test_one_seed_has_no_interval_and_says_so() -> None:
    found = summarise([replace(row, scores={"blimp": row.scores["blimp"]}) for row in rows(seeds=1)])
    assert found[2].metrics["val_ce"].sd is None
    assert sentence(found[2]) == (
        "deep supervision (trial-0007, β 3.12) lowered dev CE by 0.041 nats per token against vanilla KD "
        "(one seed: no interval); BLiMP +0.1 points"
    )


def test_equal_differences_are_no_certainty() -> None:
    pair = (("trial-1", 5.0), ("vanilla_kd", 5.25))
    runs = [student(config, seed, ce, beta=1.0) for seed in (0, 1) for config, ce in pair]
    found = summarise(runs)
    assert "by 0.250 nats per token against vanilla KD (2 seeds, no spread between the" in sentence(found[1])
    scored = [replace(row, scores={"blimp": 0.6 + 0.01 * (row.config == "trial-0007")}) for row in rows()]
    assert sentence(summarise(scored)[2]).endswith(
        "BLiMP +1.0 points (3 seeds, no spread between the differences: no interval)"
    )
    alike = summarise([replace(run, val_ce=5.0) for run in runs])
    assert "left dev CE as it was" in sentence(alike[1])
    assert sentence(alike[1]).endswith("(2 seeds, 95 % interval), not distinguishable")


@pytest.mark.parametrize("shift", [0.0101, 0.0098, -0.0101, -0.0098, 0.00001])
def test_not_distinguishable_is_said_exactly_when_the_interval_holds_zero(shift) -> None:
    runs = []
    for seed, noise in enumerate((0.004, -0.004, 0.0)):
        runs += [student("trial-1", seed, 5.0 + shift + noise, beta=1.0), student("vanilla_kd", seed, 5.0)]
    change = summarise(runs)[1].against["vanilla_kd"]["val_ce"]
    assert change.holds_zero == (abs(shift) < change.half_width)
    said = sentence(summarise(runs)[1])
    assert ("not distinguishable" in said) == change.holds_zero
    mean, half = (float(part.split()[0]) for part in said.split(" dev CE by ")[1].split(" nats")[0].split(" ± "))
    assert (mean <= half) == change.holds_zero  # the figures shown do not contradict the words


def test_a_student_that_failed_leaves_its_seed_out() -> None:
    broken = [
        replace(row, val_ce=None if (row.config, row.seed) == ("vanilla_kd", 1) else row.val_ce) for row in rows()
    ]
    found = summarise(broken)
    assert found[2].against["vanilla_kd"]["val_ce"].n == 2
    assert "(2 seeds, 95 % interval)" in sentence(found[2])
    assert "BLiMP +0.6 ± 1.2 points (3 seeds, 95 % interval)" in sentence(found[2])


def test_a_finalist_that_lost_a_seed_is_not_the_best() -> None:
    lucky = [student("trial-0011", 0, 4.0)]
    assert best(summarise([*rows(), *lucky])).config == "trial-0007"


def test_no_finalist_no_verdict() -> None:
    found = summarise([student("vanilla_kd", 0, 5.0), student("trial-1", 0, float("nan"), beta=1.0)])
    assert best(found) is None
    assert verdict(found) == "No finalist was trained to the end, so there is nothing to compare."
    assert "nothing to compare its dev CE with" in sentence(found[1])


def test_the_tables_show_every_metric_with_its_interval() -> None:
    found = summarise(rows())
    lines = cells(found)
    assert lines[5][:3] == ("trial-0007", "dev CE (nats per token)", "3")
    assert lines[5][3:] == ("5.1133 ± 0.0248", "-0.0400 ± 0.0025", "-0.1700 ± 0.0025")
    assert lines[6] == ("trial-0007", "BLiMP (%)", "3", "60.6 ± 0.5", "+0.6 ± 1.2", "+1.6 ± 1.2")
    console = Console(width=140)
    with console.capture() as printed:
        console.print(table(found))
    assert "-0.0400 ± 0.0025" in printed.get()
    text = markdown(found).splitlines()
    assert len({line.count("|") for line in text}) == 1
    assert len(text) == 2 + len(lines)
    assert "| vanilla KD | BLiMP (%) | 3 | 60.0 ± 0.0 |" in "\n".join(text)


def test_what_is_not_paired_by_seed_is_refused() -> None:
    with pytest.raises(PalenkaError, match="two rows of seed 0"):
        summarise([*rows(), student("trial-0007", 0, 5.0)])


def test_what_the_hidden_states_did_alone_is_said_and_is_no_finalist() -> None:
    """The finalist's own settings with beta = 0 are nobody's rival, however good, and a second sentence compares."""
    without = [
        student("trial-0007-without-hidden", seed, 5.05 + NOISE[seed] - 0.001 * seed, 0.60, role="ablation")
        for seed in range(3)
    ]
    found = summarise([*rows(), *without])
    assert best(found).config == "trial-0007"
    said = verdict(found)
    assert said.startswith("Best of 2 finalists: deep supervision (trial-0007, β 3.12) lowered dev CE by 0.040")
    assert "And deep supervision (trial-0007, β 3.12) raised dev CE by 0.061" in said
    assert "against the same settings without hidden states (3 seeds, 95 % interval)" in said
    assert "without hidden" not in verdict(summarise(rows()))
