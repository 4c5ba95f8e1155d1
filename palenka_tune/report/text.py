"""What a report says in sentences: of a run, and of several beside each other.

What is not there is said in a sentence, and a result against us like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from palenka_tune.report.charts.early import fresh_look, rungs
from palenka_tune.report.data import RunData
from palenka_tune.report.words import duration
from palenka_tune.trials.evidence import FEWEST, TWINS, EarlyLook, twins
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED, PRUNED
from palenka_tune.trials.sentences import leader, twins_sentence

NOT_SCORED = "No model of this search has been scored on minimal pairs"
NO_LAYERS = (
    "The explained variance of the teachers' hidden states is not known: the search has no cache of them that is still "
    "there, or needed none."
)
NO_SPREAD = (
    "No finished trial projected its targets by trained weights, so that no target could collapse and no spread was "
    "measured."
)
REPEATABLE = (
    "With the same versions, seed and machine, and one trial at a time, a search proposes the same settings and finds "
    "the same losses."
)


def title(run: RunData) -> str:
    """The heading of a run's report."""
    return f"Search {run.name}"


def lead(run: RunData) -> list[str]:
    """The result and what was searched; first how far a search has come that is not at its end, and what it needs."""
    sentences = []
    if not run.is_finished:
        sentences.append(f"This search is not at its end: {run.state}. All below is as far as it has come.")
        if run.ahead:
            sentences.append(f"Go on with it: {run.ahead}")
    warnings = [f"Warning: {warning}." for warning in run.warnings]
    result = result_sentences(run)
    found = result + warnings if run.is_finished else warnings + result
    return [*sentences, *found, *run.headroom, *run.asked]


def result_sentences(run: RunData) -> list[str]:
    """The result in words, whichever way it went: the verdict, or what led the trials and what is not known of it."""
    if run.finalists is not None:
        return [run.finalists.verdict]
    if run.best() is None:
        return _no_best(run)
    asked = "are not trained yet" if run.seeds_asked else "were not asked for"
    return [
        *_led(run),
        f"Students with fresh seeds {asked}: whether a difference would hold with another seed is not known.",
    ]


def beside_sentences(run: RunData) -> list[str]:
    """What the trials say beside the result: what led them, twins of two arms, and by what the search went."""
    sentences = _led(run) if run.finalists else []
    for pair in TWINS:
        found = twins(run.trials, *pair)
        if found.pairs:
            sentences.append(twins_sentence(found))
    if run.objective != "val_ce" and run.best():
        sentences.append(
            f"The search itself went by {run.objective}, which contains the searched weights; here everything is "
            "judged by val/ce, the student's own cross-entropy."
        )
    return sentences


def _led(run: RunData) -> list[str]:
    """What led the trials, beside the best of the other arms."""
    arms = run.arms()
    return [leader(arms)] if arms else []


def _no_best(run: RunData) -> list[str]:
    if not run.trials:
        return ["No trial has ended yet."]
    reasons = list(dict.fromkeys(trial.reason for trial in run.trials if trial.reason))[:3]
    return [
        "There is no best student: no trial was trained to the end.",
        *([f"Reasons: {'; '.join(reasons)}."] if reasons else []),
    ]


def early_sentences(run: RunData) -> list[str]:
    """What a look at each rung says of the end, and the search's seed of fresh seeds."""
    looks, fresh = rungs(run), fresh_look(run)
    sentences = [_look(f"At {100 * each.fraction:.3g} % of the steps", "as at the end", each) for each in looks]
    if sentences:
        sentences.insert(
            0,
            "This is asked of the trials that no result chose: fixed settings and random start-up points of all arms, "
            "which are trained to their ends whatever they show at a rung.",
        )
    else:
        sentences.append(
            "This cannot be said yet: it takes two trials that no result chose, with a value at a rung and an end."
        )
    if fresh is not None:
        sentences.append(_look("By the search's seed", "as in the mean over fresh seeds", fresh))
    if any(each.tau is None for each in (*looks, *([fresh] if fresh else []))):
        sentences.append(f"Below {FEWEST} trials a rank correlation says nothing, so that only pairs are counted.")
    return sentences


def _look(where: str, like: str, each: EarlyLook) -> str:
    pairs = f"{where} {each.pairs_in_order} of {each.pairs} pairs of {each.trials} trials are in the same order {like}"
    if 0 < each.within < each.pairs:
        pairs += f" ({each.within_in_order} of {each.within} within an arm, where a rung compares them)"
    if each.tau is None or each.low is None or each.high is None or each.regret is None:
        return f"{pairs}."
    interval = f"95 % interval {each.low:.2f} to {each.high:.2f}"
    choice = "the trial that leads there is also the best at the end"
    if each.regret > 0:
        choice = f"choosing the trial that leads there costs {each.regret:.4f} nats per token"
    return f"{pairs}; Kendall's tau is {each.tau:.2f} ({interval}), and {choice}."


def trials_sentence(run: RunData) -> str:
    """How many trials came how far."""
    states = Counter(trial.state for trial in run.trials)
    training, by_arm = len(run.trials) - len(run.ended()) - states[PAUSED], Counter(trial.arm for trial in run.trials)
    return (
        f"Trials that were trained to the end: {states[COMPLETE]}; stopped early: {states[PRUNED]}; "
        f"failed: {states[FAILED]}; "
        + (f"paused at a rung: {states[PAUSED]}; " if states[PAUSED] else "")
        + (f"not at their end: {training}; " if training else "")
        + f"by arm: {', '.join(f'{arm} {count}' for arm, count in by_arm.items())}."
    )


def budget_sentence(run: RunData) -> str:
    """What early stopping saved, in steps and in time."""
    ended = run.ended()
    if not ended or not run.total_steps:
        return "No trial has ended yet, so nothing can be said of what early stopping saved."
    steps, whole = sum(trial.steps for trial in ended), run.total_steps * len(ended)
    pruned = sum(trial.state == PRUNED for trial in ended)
    if not pruned:
        return f"No trial was stopped early: {steps:,} of {whole:,} steps were run."
    pace = ""
    seconds = sum(trial.seconds for trial in ended)
    if seconds and steps:
        pace = (
            f", about {duration((whole - steps) * seconds / steps)} of training at the pace of these trials "
            f"({1000 * seconds / steps:.3g} ms a step)"
        )
    return (
        f"{pruned} of {len(ended)} trials were stopped early: {steps:,} of {whole:,} steps were run, "
        f"{100 * (1 - steps / whole):.0f} % were saved{pace}."
    )


def what_sets_apart(runs: Sequence[RunData]) -> list[str]:
    """What the runs do not share that they must share for their val/ce to be compared, with the value of each."""
    apart = []
    for name in dict.fromkeys(name for run in runs for name in run.comparable):
        values = {run.name: run.comparable.get(name, "unknown") for run in runs}
        if len(set(values.values())) > 1:
            apart.append(f"{name} ({', '.join(f'{run}: {value}' for run, value in values.items())})")
    return apart


def comparison_sentences(runs: Sequence[RunData]) -> list[str]:
    """Whether val/ce may be compared between the runs, and which is lowest."""
    apart = what_sets_apart(runs)
    if apart:
        return [
            f"The runs differ in {'; '.join(apart)}: their val/ce are not of one kind, and differences between runs "
            "say nothing. So no chart has them on one axis. What each run says of its own arms holds."
        ]
    bests = [(best.ce, run.name) for run in runs if (best := run.best())]
    if not bests:
        return ["None of the runs has a trial that was trained to the end."]
    value, name = min(bests)
    return [
        "The runs share their data, student, budget and dev windows, so that their val/ce may be compared.",
        f"The lowest is that of {name}, {value:.4f} nats per token. It is one seed, and the more trials a run has, the "
        "luckier its best; only students of several fresh seeds tell runs apart.",
    ]
