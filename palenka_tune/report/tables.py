"""The tables of a report: models, trials, settings, what it took (time, tokens, tokens a second), runs compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from palenka_tune.config.build import flat
from palenka_tune.report.charts.sizes import front
from palenka_tune.report.data import RunData, Setting, suites_of
from palenka_tune.report.page import Table
from palenka_tune.report.words import duration, percent, shown
from palenka_tune.runs import cost
from palenka_tune.trials.arms import ARMS, FIXED
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED, TrialRow

MOST_CHARACTERS = 60  # of a setting in a table


def finalists_table(run: RunData) -> Table | None:
    """The best of each arm over paired fresh seeds."""
    if run.finalists is None:
        return None
    caption = "The best of each arm, trained again over paired fresh seeds; differences with 95 % intervals."
    return Table(run.finalists.header, run.finalists.rows, caption)


def recipe_table(run: RunData) -> Table | None:
    """The settings of the winner beside the fixed ones of its arm."""
    winner = run.winner()
    if winner is None or not winner.settings:
        return None
    fixed = next((trial for trial in run.trials if (trial.arm, trial.origin) == (winner.arm, FIXED)), None)
    names = dict.fromkeys([setting.name for setting in run.settings if setting.name in winner.settings])
    names |= dict.fromkeys(winner.settings)

    def value(trial: TrialRow | None, name: str) -> str:
        return shown(trial.settings[name], name) if trial and name in trial.settings else ""

    rows = [(name, value(winner, name), value(fixed, name)) for name in names]
    led = "won with fresh seeds" if run.finalists and run.finalists.winner else "led the trials"
    caption = f"The recipe that {led}: {winner.trial_id} ({winner.arm}). All else is as in search.yaml below."
    return Table(("setting", "winner", "fixed setting"), rows, caption)


def sizes_table(run: RunData) -> Table | None:
    """The students that no smaller one is as good as."""
    best = front(run)
    if len(best) < 2:
        return None
    sized = [setting for setting in run.settings if setting.name.startswith("student.")]
    rows = [
        [
            f"{trial.parameters:,}",
            f"{trial.ce:.4f}",
            trial.trial_id,
            trial.arm,
            ", ".join(f"{each.short} {shown(trial.settings[each.name], each.name)}" for each in sized),
        ]
        for trial in best
    ]
    caption = "The front: of these students no smaller one of the search has as low a val/ce."
    return Table(("parameters", "val/ce", "trial", "arm", "sizes"), rows, caption)


def models_table(run: RunData) -> Table | None:
    """The models of one seed with their dev cross-entropy and their accuracies."""
    models = [model for model in run.models if model.seeds == 1]
    if not models:
        return None
    suites = suites_of(models)
    rows = []
    for model in models:
        scores = [model.suites.get(suite) for suite in suites]
        rows.append(
            [
                model.name,
                model.role,
                "" if model.parameters is None else f"{model.parameters:,}",
                "" if model.val_ce is None else f"{model.val_ce:.4f}",
                *("" if score is None else percent(score.accuracy, score.stderr) for score in scores),
            ]
        )
    header = ["model", "role", "parameters", "dev CE (nats per token)", *(f"{suite} (%)" for suite in suites)]
    return Table(header, rows, "The best student of each arm and the teachers, one seed each.")


def trials_table(run: RunData) -> Table:
    """Every trial, the best first."""
    order = {COMPLETE: 0, PRUNED: 1, FAILED: 3}
    trials = sorted(run.trials, key=lambda each: (order.get(each.state, 2), each.val_ce is None, each.val_ce or 0.0))
    header = [
        "trial",
        "arm",
        "state",
        "val/ce",
        "steps",
        "seconds",
        *(setting.short for setting in run.settings),
        "reason",
    ]
    rows = [
        [
            f"{trial.trial_id} (fixed)" if trial.origin == FIXED else trial.trial_id,
            trial.arm,
            trial.state.lower(),
            "" if trial.val_ce is None else f"{trial.val_ce:.4f}",
            f"{trial.steps:,}",
            f"{trial.seconds:.1f}",
            *(
                shown(trial.settings[setting.name], setting.name) if setting.name in trial.settings else ""
                for setting in run.settings
            ),
            trial.reason or "",
        ]
        for trial in trials
    ]
    return Table(header, rows)


def settings_table(run: RunData) -> Table | None:
    """Each setting and what was searched of it."""
    return Table(("setting", "searched over"), [_range(setting) for setting in run.settings]) if run.settings else None


def _range(setting: Setting) -> tuple[str, str]:
    if setting.kind == "choice":
        values = ", ".join(shown(choice, setting.name) for choice in setting.choices)
    else:
        scale = {"log_uniform": ", evenly on a logarithmic scale", "int": ", whole numbers"}.get(setting.kind, "")
        values = f"{setting.low:g} to {setting.high:g}{scale}"
    return setting.name, values + (", in some trials only" if setting.conditional else "")


def cost_table(run: RunData) -> Table:
    """Time and tokens, and the teacher cache."""
    rows = []
    seconds, tokens = sum(trial.seconds for trial in run.trials), sum(trial.tokens for trial in run.trials)
    if seconds:
        rows.append(("training time, summed over trials", duration(seconds)))
        rows.append(("tokens that trials trained on", f"{tokens:,}"))
        rows.append(("tokens a second in a trial, on average", f"{tokens / seconds:,.0f}"))
    return Table(("what", "how much"), [*rows, *run.cache], "What it took.")


def stages_table(run: RunData) -> Table | None:
    """Where the time went, stage by stage."""
    return Table(cost.HEADER, run.costs) if run.costs else None


def provenance_table(run: RunData) -> Table | None:
    """Versions, commit and fingerprints."""
    return Table(("what", "which"), run.facts, "Where it ran and what it was made of.") if run.facts else None


def differences_table(runs: Sequence[RunData]) -> Table | None:
    """The settings in which the configurations of the runs differ, a column for each run; None if there are none."""
    settings = [flat(yaml.safe_load(run.configuration) or {}) for run in runs]
    rows = []
    for path in dict.fromkeys(path for each in settings for path in each if path != "description"):
        if any(each.get(path, ...) != settings[0].get(path, ...) for each in settings):
            rows.append((path, *(_short(path, each[path]) if path in each else "" for each in settings)))
    caption = "What was asked of one run and not of the others, from their search.yaml."
    return Table(("setting", *(run.name for run in runs)), rows, caption) if rows else None


def _short(path: str, value: Any) -> str:
    text = shown(value, path)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def comparison_table(runs: Sequence[RunData]) -> Table:
    """A row for each run: how far it came, and the best of each of its arms."""
    rows = []
    for run in runs:
        best = run.arms()
        row = [run.name, run.state, str(len(run.trials))]
        row.append(f"{sum(trial.steps for trial in run.trials if trial.state in (COMPLETE, PRUNED)):,}")
        row.append("" if run.seconds is None else duration(run.seconds))
        rows.append([*row, *(f"{best[arm].ce:.4f}" if arm in best else "" for arm in ARMS)])
    header = ("run", "state", "trials", "steps run", "time", *(f"best of {arm} (val/ce)" for arm in ARMS))
    return Table(header, rows, "One seed each: the best trial of each arm of a run.")
