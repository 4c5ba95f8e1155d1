"""What a report says in words: what was found whichever way it went, and what is not known."""

from __future__ import annotations

import dataclasses

from palenka_tune.report.data import RunData
from palenka_tune.report.text import (
    beside_sentences,
    budget_sentence,
    comparison_sentences,
    early_sentences,
    lead,
    result_sentences,
    trials_sentence,
)
from palenka_tune.trials.arms import HIDDEN, LOGITS, STARTUP
from tests.report import synthetic
from tests.report.synthetic import run_to, trial


def said(run) -> str:
    return " ".join(result_sentences(run))


def small(*values, **more):
    """A run with the fixed settings of plain (5.2) and logits (5.0), and trials of hidden with these values."""
    trials = (*synthetic.fixed()[:2], *(trial(n, {"beta": 3.0}, val_ce=value) for n, value in enumerate(values, 2)))
    return synthetic.run(**{"trials": trials, "finalists": None, **more})


def test_the_page_opens_with_the_verdict_and_what_led_the_trials_stands_beside_it() -> None:
    run = synthetic.run(warnings=("only 3 MB are free",))
    best = run.best()
    verdict, warning, asked = lead(run)
    assert verdict == run.finalists.verdict
    assert verdict.startswith(f"Best: hidden ({best.trial_id})")
    assert warning == "Warning: only 3 MB are free."
    assert asked.startswith("It searched")
    assert beside_sentences(run)[0].startswith(f"{best.trial_id} (hidden: ")
    assert "one seed" in beside_sentences(run)[0]


def test_without_fresh_seeds_it_says_what_is_not_known() -> None:
    found = said(small(4.9, 4.8))
    assert "trial-0003 (hidden: β=3) led the trials with val/ce 4.8000 nats per token, one seed" in found
    assert "logits 5.0000 (+0.2000, trial-0001)" in found
    assert "plain 5.2000 (+0.4000, trial-0000)" in found
    assert "whether a difference would hold with another seed is not known" in found
    assert "were not asked for" in said(small(4.9, seeds_asked=0))
    assert "are not trained yet" in said(small(4.9, seeds_asked=5))


def test_a_result_against_us_is_told_plainly() -> None:
    found = said(small(5.3))
    assert found.startswith("trial-0001 (logits: fixed setting) led the trials with val/ce 5.0000")
    assert "hidden 5.3000 (+0.3000, trial-0002)" in found


def test_twins_are_counted_with_every_difference() -> None:
    points = [{"alpha": 1.0}, {"alpha": 3.0}]
    ends = {LOGITS: (4.9, 4.8), HIDDEN: (4.7, 4.85)}
    trials = [
        trial(
            2 * number + (arm == HIDDEN),
            {**point, **({"beta": 2.0} if arm == HIDDEN else {})},
            val_ce=values[number],
            arm=arm,
            origin=STARTUP,
        )
        for arm, values in ends.items()
        for number, point in enumerate(points)
    ]
    found = " ".join(beside_sentences(synthetic.run(trials=tuple(trials))))
    assert "Of 2 pairs with equal settings and seed, hidden is better than logits in 1 and worse in 1" in found
    assert "-0.2000, +0.0500 nats per token" in found
    assert "than plain" not in found


def test_no_student_is_no_student() -> None:
    assert said(RunData("young", "preparing")) == "No trial has ended yet."
    failed = synthetic.run(trials=(trial(2, {"beta": 1.0}, "FAILED"),), finalists=None)
    assert "no trial was trained to the end" in said(failed)
    assert "Reasons: diverged: nan." in said(failed)
    assert beside_sentences(failed) == []
    lonely = synthetic.run(trials=(trial(2, {"beta": 1.0}),), finalists=None)
    assert said(lonely).startswith(
        "trial-0002 (hidden: β=1) led the trials with val/ce 5.0000 nats per token, one seed."
    )


def test_an_objective_that_contains_the_weights_is_said() -> None:
    found = beside_sentences(small(4.9, objective="val_total"))
    assert "went by val_total, which contains the searched weights" in " ".join(found)


def of_startup(*looks, **more):
    """A run with random trials: (val/ce, how far above it they were at 25 %, at 50 %)."""
    trials = (trial(n, {}, val_ce=end, origin=STARTUP, early=early) for n, (end, *early) in enumerate(looks))
    return synthetic.run(**{"trials": tuple(trials), "finalists": None, **more})


def test_early_looks_are_told_by_pairs_tau_and_regret() -> None:
    # all but the best are in order at 25 %, all at 50 %
    run = of_startup((4.0, 0.75, 0.1), *((4.0 + number / 10, 0.5, 0.1) for number in range(1, 8)))
    whose, quarter, half = early_sentences(run)
    assert "fixed settings and random start-up points" in whose
    assert quarter.startswith("At 25 % of the steps 26 of 28 pairs of 8 trials are in the same order as at the end; ")
    assert "Kendall's tau is 0.86 (95 % interval 0.5" in quarter
    assert quarter.endswith("choosing the trial that leads there costs 0.1000 nats per token.")
    assert half.startswith("At 50 % of the steps 28 of 28 pairs")
    assert half.endswith("and the trial that leads there is also the best at the end.")


def test_below_8_trials_there_are_pairs_alone_and_the_report_says_so() -> None:
    run = of_startup((4.0, 0.9, 0.1), (4.1, 0.1, 0.1))
    _, quarter, half, few = early_sentences(run)
    assert quarter == "At 25 % of the steps 0 of 1 pairs of 2 trials are in the same order as at the end."
    assert half == "At 50 % of the steps 1 of 1 pairs of 2 trials are in the same order as at the end."
    assert few == "Below 8 trials a rank correlation says nothing, so that only pairs are counted."


def test_the_seed_of_the_search_is_a_look_too() -> None:
    found = early_sentences(synthetic.run())
    assert (
        "By the search's seed 3 of 3 pairs of 3 trials are in the same order as in the mean over fresh seeds." in found
    )
    assert "only pairs are counted" in found[-1]


def test_without_two_trials_that_no_result_chose_early_looks_say_nothing() -> None:
    run = synthetic.run(trials=(trial(2, {}), trial(3, {})), finalists=None)
    (found,) = early_sentences(run)
    assert found.startswith("This cannot be said yet")


def test_a_search_that_is_not_at_its_end_says_how_to_go_on() -> None:
    run = small(4.9, state="killed while searching", ahead="python -m it --resume", warnings=("only 3 MB are free",))
    found = lead(run)
    assert found[:3] == [
        "This search is not at its end: killed while searching. All below is as far as it has come.",
        "Go on with it: python -m it --resume",
        "Warning: only 3 MB are free.",
    ]


def test_trials_are_counted_by_how_they_ended_and_by_arm() -> None:
    trials = (*synthetic.fixed(), trial(3, {}, "PRUNED"), trial(4, {}, "FAILED"), trial(5, {}, "RUNNING"))
    trials += (dataclasses.replace(trial(6, {}, "RUNNING"), state="PAUSED"),)
    assert trials_sentence(synthetic.run(trials=trials)) == (
        "Trials that were trained to the end: 3; stopped early: 1; failed: 1; paused at a rung: 1; "
        "not at their end: 1; by arm: plain 1, logits 1, hidden 5."
    )


def test_what_early_stopping_saved_is_in_steps_and_time() -> None:
    trials = (*synthetic.fixed()[:2], trial(2, {}, "PRUNED"), trial(3, {}, "PRUNED"))
    found = budget_sentence(synthetic.run(trials=trials))
    assert found.startswith(
        "2 of 4 trials were stopped early: 2,475 of 3,600 steps were run, 31 % were saved, about 22 s"
    )
    assert budget_sentence(small(4.9)) == "No trial was stopped early: 2,700 of 2,700 steps were run."
    assert "No trial has ended yet" in budget_sentence(RunData("young", "preparing"))


def test_a_trial_that_diverged_to_infinity_is_not_the_best() -> None:
    run = small(4.9)
    odd = dataclasses.replace(run.trials[-1], trial_id="trial-0099", val_ce=float("nan"))
    assert "trial-0099" not in said(dataclasses.replace(run, trials=(*run.trials, odd)))


def test_the_lowest_of_comparable_runs_is_named_with_its_doubt() -> None:
    found = " ".join(comparison_sentences([run_to(4.9, "one"), run_to(4.7, "two")]))
    assert "The lowest is that of two, 4.7000 nats per token. It is one seed" in found


def test_runs_on_other_data_are_not_compared() -> None:
    (found,) = comparison_sentences([run_to(4.9, "one"), run_to(4.7, "two", comparable={"data": "other"})])
    assert "differ in data (one: fedcba9876543210, two: other)" in found
    assert "lowest" not in found


def test_runs_without_a_student_are_said() -> None:
    assert comparison_sentences([RunData("one", "preparing"), RunData("two", "preparing")]) == [
        "None of the runs has a trial that was trained to the end."
    ]
