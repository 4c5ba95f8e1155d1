"""What a report says in sentences: of a run, and of several beside each other.

What is not there is said in a sentence, and a result against us like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from palenka_tune.report.data import RunData
from palenka_tune.report.words import described, duration
from palenka_tune.trials.arms import ANCHORS
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED
from palenka_tune.words import perplexity

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
    """How far the search has come, if it is not at its end, what needs attention, what was searched, what was found."""
    sentences = []
    if not run.is_finished:
        sentences.append(f"This search is not at its end: {run.state}. All below is as far as it has come.")
        if run.ahead:
            sentences.append(f"Go on with it: {run.ahead}")
    return [*sentences, *(f"Warning: {warning}." for warning in run.warnings), *run.asked, *result_sentences(run)]


def result_sentences(run: RunData) -> list[str]:
    """The result in words, whichever way it went, and what is not known."""
    sentences = _beside_anchors(run)
    if run.finalists is not None:
        chosen = "The best finalist was chosen by the same seeds that its interval is from, which flatters it a little."
        return [run.finalists.verdict, *([chosen] if run.finalists.count > 1 else []), *sentences]
    if run.complete():
        asked = "are not trained yet" if run.finalists_asked else "were not asked for"
        sentences.append(
            f"Finalists over several seeds {asked}: whether a difference would hold with another seed, or on all of "
            "the text, is not known."
        )
    return sentences


def _beside_anchors(run: RunData) -> list[str]:
    best, anchors = run.best(), run.anchors()
    if best is None:
        return _no_best(run)
    parts = []
    for name, text in ANCHORS.items():
        if name not in anchors:
            parts.append(f"the anchor {text} has no end to compare it with")
            continue
        apart = best.ce - anchors[name].ce
        word = "the same as" if apart == 0 else f"{abs(apart):.4f} {'lower' if apart < 0 else 'higher'} than"
        parts.append(f"{word} {text} ({anchors[name].ce:.4f})")
    sentences = [
        f"Of {len(run.complete())} proposed trials that were trained to the end, {best.trial_id} has the lowest "
        f"val/ce, {best.ce:.4f} nats per token (perplexity {perplexity(best.ce):.1f}), with one seed: "
        f"{'; '.join(parts)}. Its settings: {described(best.settings, run.settings)}."
    ]
    beaten = [best.ce < anchor.ce for anchor in anchors.values()]
    if anchors and not any(beaten):
        sentences.append(
            "No proposed trial is better than the anchors: as searched here, deep supervision did not help."
        )
    elif not all(beaten):
        sentences.append("It does not beat every anchor.")
    if run.objective != "val_ce":
        sentences.append(
            f"The search itself went by {run.objective}, which contains the searched weights; here everything is "
            "judged by val/ce, the student's own cross-entropy."
        )
    return sentences


def _no_best(run: RunData) -> list[str]:
    if not run.trials:
        return ["No trial has ended yet."]
    proposed = run.proposed()
    whom = "no proposed trial was" if proposed else "only anchors were run, and no proposed trial was"
    reasons = list(dict.fromkeys(trial.reason for trial in proposed if trial.reason))[:3]
    return [
        f"There is no best student: {whom} trained to the end.",
        *([f"Reasons: {'; '.join(reasons)}."] if reasons else []),
    ]


def trials_sentence(run: RunData) -> str:
    """How many trials came how far."""
    states = Counter(trial.state for trial in run.trials)
    others = len(run.trials) - len(run.ended())
    return (
        f"Trials that were trained to the end: {states[COMPLETE]}; stopped early: {states[PRUNED]}; "
        f"failed: {states[FAILED]}; "
        + (f"not at their end: {others}; " if others else "")
        + f"anchors among all of them: {sum(trial.anchor is not None for trial in run.trials)}."
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


def comparison_sentences(runs: Sequence[RunData]) -> list[str]:
    """Whether val/ce may be compared between the runs, and which is lowest."""
    apart = []
    for name in dict.fromkeys(name for run in runs for name in run.comparable):
        values = {run.name: run.comparable.get(name, "unknown") for run in runs}
        if len(set(values.values())) > 1:
            apart.append(f"{name} ({', '.join(f'{run}: {value}' for run, value in values.items())})")
    if apart:
        return [
            f"The runs differ in {'; '.join(apart)}: their val/ce are not of one kind, and differences between runs "
            "say nothing. What each run says against its own anchors holds."
        ]
    bests = [(best.ce, run.name) for run in runs if (best := run.best())]
    if not bests:
        return ["None of the runs has a proposed trial that was trained to the end."]
    value, name = min(bests)
    return [
        "The runs share their data, student, budget and dev windows, so that their val/ce may be compared.",
        f"The lowest is that of {name}, {value:.4f} nats per token. It is one seed, and the more trials a run has, the "
        "luckier its best; only finalists of several seeds tell runs apart.",
    ]
