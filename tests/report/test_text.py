"""What a report says in words: what was found whichever way it went, and what is not known."""

from __future__ import annotations

import dataclasses

import pytest

from palenka_tune.report.data import RunData
from palenka_tune.report.text import budget_sentence, comparison_sentences, lead, result_sentences
from tests.report import synthetic
from tests.report.synthetic import run_to, trial


def said(run) -> str:
    return " ".join(result_sentences(run))


def small(*values, **more):
    trials = (*synthetic.anchors(), *(trial(n, {"beta": 3.0}, val_ce=value) for n, value in enumerate(values, 2)))
    return synthetic.run(**{"trials": trials, "finalists": None, **more})


def test_the_verdict_comes_first_and_that_it_flatters() -> None:
    found = result_sentences(synthetic.run())
    assert found[0].startswith("Best of 2 finalists: deep supervision (trial-0007")
    assert "flatters it a little" in found[1]


def test_without_finalists_it_says_what_is_not_known() -> None:
    found = said(small(4.9, 4.8))
    assert "trial-0003 has the lowest val/ce, 4.8000 nats per token (perplexity 121.5), with one seed" in found
    assert "0.4000 lower than no distillation (5.2000)" in found
    assert "0.2000 lower than vanilla KD (5.0000)" in found
    assert "whether a difference would hold with another seed, or on all of the text, is not known" in found
    assert "were not asked for" in said(small(4.9, finalists_asked=0))
    assert "are not trained yet" in said(small(4.9, finalists_asked=2))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(5.1, "It does not beat every anchor."), (5.3, "deep supervision did not help"), (5.2, "did not help")],
)
def test_a_result_against_us_is_told_plainly(value, sentence) -> None:
    assert sentence in said(small(value))


def test_a_result_for_us_is_not_doubted() -> None:
    assert "not beat" not in said(small(4.9))
    assert "did not help" not in said(small(4.9))


def test_no_student_is_no_student() -> None:
    assert said(RunData("young", "preparing")) == "No trial has ended yet."
    assert "only anchors were run" in said(small())
    failed = synthetic.run(trials=(trial(2, {"beta": 1.0}, "FAILED"),), finalists=None)
    assert "no proposed trial was trained to the end" in said(failed)
    assert "Reasons: diverged: nan." in said(failed)
    lonely = synthetic.run(trials=(trial(2, {"beta": 1.0}),), finalists=None)
    assert "the anchor vanilla KD has no end to compare it with" in said(lonely)


def test_an_objective_that_contains_the_weights_is_said() -> None:
    assert "went by val/total, which contains the searched weights" in said(small(4.9, objective="val/total"))


def test_a_search_that_is_not_at_its_end_says_how_to_go_on() -> None:
    run = small(4.9, state="killed while searching", ahead="python -m it --resume", warnings=("only 3 MB are free",))
    found = lead(run)
    assert found[:3] == [
        "This search is not at its end: killed while searching. All below is as far as it has come.",
        "Go on with it: python -m it --resume",
        "Warning: only 3 MB are free.",
    ]


def test_what_early_stopping_saved_is_in_steps_and_time() -> None:
    trials = (*synthetic.anchors(), trial(2, {}, "PRUNED"), trial(3, {}, "PRUNED"))
    found = budget_sentence(synthetic.run(trials=trials))
    assert found.startswith(
        "2 of 4 trials were stopped early: 2,200 of 3,600 steps were run, 39 % were saved, about 28 s"
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
        "None of the runs has a proposed trial that was trained to the end."
    ]
