"""The parts of a run's report: sentences, tables and figures, from what was found down to the command that repeats it.

What is not there is said in a sentence, and a result against us like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from palenka_tune.report.charts.budget import budget_figure
from palenka_tune.report.charts.figure import Figure
from palenka_tune.report.charts.grid import weights_figures
from palenka_tune.report.charts.importance import importance_figure, importances
from palenka_tune.report.charts.minimal_pairs import pairs_figures
from palenka_tune.report.charts.outcome import best_figure, contrasts_figure
from palenka_tune.report.charts.projections import explained_figure, spread_figure
from palenka_tune.report.charts.trials import history_figure, parallel_figure, search_figure, slices_figure
from palenka_tune.report.data import (
    ANCHOR_NAMES,
    COMPLETE,
    FAILED,
    PRUNED,
    Model,
    RunData,
    Setting,
    Trial,
    suites_of,
)
from palenka_tune.report.page import Fold, Section, Table
from palenka_tune.report.words import described, display_name, duration, percent, shown


def title(run: RunData) -> str:
    """The heading of a run's report."""
    return f"Search {run.name}"


def lead(run: RunData) -> list[str]:
    """What was searched and what was found."""
    return [*state_sentences(run), *run.asked, *found_sentences(run)]


def sections(run: RunData) -> list[Section]:
    """Every part of the report of one run."""
    return [
        _result(run),
        _trials(run),
        *_weights(run),
        _settings(run),
        _budget(run),
        _projections(run),
        _pairs(run),
        _provenance(run),
    ]


def state_sentences(run: RunData) -> list[str]:
    """How far the search has come, where it is not at its end, and what needs attention."""
    said = []
    if not run.is_finished:
        said.append(f"This search is not at its end: {run.state}. All below is as far as it has come.")
        if run.ahead:
            said.append(f"Go on with it: {run.ahead}")
    return [*said, *(f"Warning: {warning}." for warning in run.warnings)]


def found_sentences(run: RunData) -> list[str]:
    """The result in words, whichever way it went, and what is not known."""
    if run.finalists is not None:
        said = [run.finalists.verdict]
        if run.finalists.count > 1:
            said.append(
                "The best finalist was chosen by the same seeds that its interval is from, which flatters it a little."
            )
        return [*said, *_beside_anchors(run)]
    found = _beside_anchors(run)
    if run.complete():
        asked = "are not trained yet" if run.finalists_asked else "were not asked for"
        found.append(
            f"Finalists over several seeds {asked}: whether a difference would hold with another seed, or on all of "
            "the text, is not known."
        )
    return found


def _beside_anchors(run: RunData) -> list[str]:
    complete, anchors = run.complete(), run.anchors()
    if not complete:
        if not run.trials:
            return ["No trial has ended yet."]
        proposed = run.proposed()
        whom = "no proposed trial was" if proposed else "only anchors were run, and no proposed trial was"
        return [f"There is no best student: {whom} trained to the end.", *_reasons(proposed)]
    best = complete[0]
    value = best.ce
    parts = []
    for name, text in ANCHOR_NAMES.items():
        anchor = anchors.get(name)
        if anchor is None:
            parts.append(f"the anchor {text} has no end to compare it with")
            continue
        apart = value - anchor.ce
        word = "the same as" if apart == 0 else f"{abs(apart):.4f} {'lower' if apart < 0 else 'higher'} than"
        parts.append(f"{word} {text} ({anchor.ce:.4f})")
    said = [
        f"Of {len(complete)} proposed trials that were trained to the end, {best.trial_id} has the lowest val/ce, "
        f"{value:.4f} nats per token (perplexity {math.exp(min(value, 700)):.1f}), with one seed: {'; '.join(parts)}. "
        f"Its settings: {described(best.values, run.settings)}."
    ]
    if all(value >= anchor.ce for anchor in anchors.values()) and anchors:
        said.append("No proposed trial is better than the anchors: as searched here, deep supervision did not help.")
    elif any(value >= anchor.ce for anchor in anchors.values()):
        said.append("It does not beat every anchor.")
    if run.objective != "val/ce":
        said.append(
            f"The search itself went by {run.objective}, which contains the searched weights; here everything is "
            "judged by val/ce, the student's own cross-entropy."
        )
    return said


def _reasons(trials: Iterable[Trial]) -> list[str]:
    reasons = list(dict.fromkeys(trial.reason for trial in trials if trial.reason))
    return [f"Reasons: {'; '.join(reasons[:3])}."] if reasons else []


def _result(run: RunData) -> Section:
    paragraphs, tables = [], []
    figures = [contrasts_figure(run) or best_figure(run)]
    if run.finalists is not None:
        tables.append(
            Table(
                run.finalists.header,
                run.finalists.rows,
                "Finalists and anchors, trained on all windows over paired seeds; differences with 95 % intervals.",
            )
        )
    singles = [model for model in run.models if model.seeds == 1]
    if singles:
        tables.append(models_table(singles, "The search's best student, its anchors and its teachers, one seed each."))
    else:
        paragraphs.append("No model of this search has been scored on minimal pairs yet.")
    return Section("What was found", paragraphs, tables, _there(figures))


def models_table(models: Sequence[Model], caption: str) -> Table:
    """Models with their dev cross-entropy and their accuracies."""
    suites = suites_of(models)
    header = ["model", "role", "parameters", "dev CE (nats per token)", *(f"{suite} (%)" for suite in suites)]
    rows = []
    for model in models:
        row = [display_name(model.name), model.role]
        row.append("" if model.parameters is None else f"{model.parameters:,}")
        row.append("" if model.val_ce is None else f"{model.val_ce:.4f}")
        for suite in suites:
            score = model.suites.get(suite)
            row.append("" if score is None else percent(score.accuracy, score.stderr))
        rows.append(row)
    return Table(header, rows, caption)


def _trials(run: RunData) -> Section:
    figures = [search_figure(run), history_figure(run)]
    counts = {state: sum(trial.state == state for trial in run.trials) for state in (COMPLETE, PRUNED, FAILED)}
    others = len(run.trials) - sum(counts.values())
    said = (
        f"Trials that were trained to the end: {counts[COMPLETE]}; stopped early: {counts[PRUNED]}; "
        f"failed: {counts[FAILED]}; "
        + (f"not at their end: {others}; " if others else "")
        + f"anchors among all of them: {sum(trial.anchor is not None for trial in run.trials)}."
    )
    folds = [Fold("All trials", trials_table(run))] if run.trials else []
    return Section("The trials", [said], figures=_there(figures), folds=folds)


def trials_table(run: RunData) -> Table:
    """Every trial, the best first."""
    names = [setting.name for setting in run.settings]
    order = {COMPLETE: 0, PRUNED: 1, FAILED: 3}
    trials = sorted(
        run.trials, key=lambda trial: (order.get(trial.state, 2), math.inf if trial.val_ce is None else trial.val_ce)
    )
    header = ["trial", "state", "val/ce", "steps", "seconds", *(setting.short for setting in run.settings), "reason"]
    rows = [
        [
            f"{trial.trial_id} ({ANCHOR_NAMES[trial.anchor]})" if trial.anchor else trial.trial_id,
            trial.state.lower(),
            "" if trial.val_ce is None else f"{trial.val_ce:.4f}",
            f"{trial.steps:,}",
            f"{trial.seconds:.1f}",
            *(shown(trial.values[name], name) if name in trial.values else "" for name in names),
            trial.reason or "",
        ]
        for trial in trials
    ]
    return Table(header, rows)


def _weights(run: RunData) -> list[Section]:
    figures = weights_figures(run)
    return [Section("The two weights", figures=figures)] if figures else []


def _settings(run: RunData) -> Section:
    found = importances(run)
    paragraphs = [found] if isinstance(found, str) else []
    space = [Table(("setting", "searched over"), [_range(setting) for setting in run.settings])] if run.settings else []
    figures = [
        None if isinstance(found, str) else importance_figure(run, found),
        parallel_figure(run),
        slices_figure(run),
    ]
    return Section("The settings", paragraphs, space, _there(figures))


def _range(setting: Setting) -> tuple[str, str]:
    if setting.kind == "choice":
        values = ", ".join(shown(choice, setting.name) for choice in setting.choices)
    else:
        scale = {"log_uniform": ", evenly on a logarithmic scale", "int": ", whole numbers"}.get(setting.kind, "")
        values = f"{setting.low:g} to {setting.high:g}{scale}"
    return setting.name, values + (", in some trials only" if setting.conditional else "")


def _budget(run: RunData) -> Section:
    return Section(
        "Budget, cache and cost",
        budget_sentences(run),
        [Table(("what", "how much"), [*cost_rows(run), *run.cache], "What it took.")],
        _there([budget_figure(run)]),
    )


def budget_sentences(run: RunData) -> list[str]:
    """What early stopping saved, in steps and in time."""
    ended = [trial for trial in run.trials if trial.state in (COMPLETE, PRUNED, FAILED)]
    if not ended or not run.total_steps:
        return ["No trial has ended yet, so nothing can be said of what early stopping saved."]
    ran, whole = sum(trial.steps for trial in ended), run.total_steps * len(ended)
    if not any(trial.state == PRUNED for trial in ended):
        return [f"No trial was stopped early: {ran:,} of {whole:,} steps were run."]
    said = (
        f"{sum(trial.state == PRUNED for trial in ended)} of {len(ended)} trials were stopped early: {ran:,} of "
        f"{whole:,} steps were run, {100 * (1 - ran / whole):.0f} % were saved"
    )
    seconds, steps = (sum(getattr(trial, name) for trial in ended) for name in ("seconds", "steps"))
    if seconds and steps:
        said += (
            f", about {duration((whole - ran) * seconds / steps)} of training at the pace of these trials "
            f"({1000 * seconds / steps:.3g} ms a step)"
        )
    return [f"{said}."]


def cost_rows(run: RunData) -> list[tuple[str, str]]:
    """(name, value) of time and tokens."""
    seconds, tokens = (sum(getattr(trial, name) for trial in run.trials) for name in ("seconds", "tokens"))
    rows = []
    if run.seconds is not None:
        rows.append(("wall time of the trials and their scoring", duration(run.seconds)))
    if seconds:
        rows.append(("training time, summed over trials", duration(seconds)))
        rows.append(("tokens that trials trained on", f"{tokens:,}"))
        rows.append(("tokens a second in a trial, on average", f"{tokens / seconds:,.0f}"))
    return rows


def _projections(run: RunData) -> Section:
    figures = _there([explained_figure(run), spread_figure(run)])
    said = []
    if not run.layers:
        said.append(
            "The explained variance of the teachers' hidden states is not known: the search has no cache of them that "
            "is still there, or needed none."
        )
    if not any(trial.terms.get("target_std") is not None for trial in run.complete()):
        said.append(
            "No finished trial projected its targets by trained weights, so that no target could collapse and no "
            "spread was measured."
        )
    return Section("The projections", said, figures=figures)


def _pairs(run: RunData) -> Section:
    figures = pairs_figures(run)
    return Section(
        "Minimal pairs",
        [] if figures else ["No model of this search has been scored on minimal pairs."],
        figures=figures,
    )


def _provenance(run: RunData) -> Section:
    folds = [Fold("search.yaml, the whole configuration", run.configuration)] if run.configuration else []
    if run.commands:
        folds.insert(0, Fold("Commands that repeat it", "\n".join(run.commands)))
    tables = [Table(("what", "which"), run.facts, "Where it ran and what it was made of.")] if run.facts else []
    said = (
        "With the same versions, seed and machine, and one trial at a time, a search proposes the same settings and "
        "finds the same losses."
    )
    return Section("How to repeat it", [said], tables, folds=folds)


def _there(figures: Sequence[Figure | None]) -> list[Figure]:
    return [figure for figure in figures if figure is not None]
