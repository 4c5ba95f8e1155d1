"""Which settings moved val/ce: Optuna's fANOVA and PED-ANOVA over the trials that were trained to the end.

fANOVA (Hutter et al., 2014) says what share of the variance of val/ce over the whole space is a setting's; it needs
every setting in every trial, so conditional ones are left to PED-ANOVA (arXiv:2304.10255, 2601.20800), which asks what
sets the best trials apart from all. All settings are in one arm only, so that arm alone is asked: `hidden`, or, if too
few of its trials ended, the next that has enough. A fixed setting is no sample of the space, and a trial that was
stopped early has the value of its rung and not of its end: neither counts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from palenka_tune.report.charts.figure import NAN, Axis, Bars, Chart, Figure, Point, Series
from palenka_tune.report.data import RunData, Setting, key
from palenka_tune.trials.arms import ARMS, FIXED
from palenka_tune.trials.rows import TrialRow

if TYPE_CHECKING:
    import optuna

FEWEST = 10  # trials below which a share of variance is noise
BEST = 5  # trials that PED-ANOVA's best share should hold, as Optuna advises
FANOVA, PED_ANOVA = "fANOVA", "PED-ANOVA"


def asked(run: RunData) -> list[TrialRow]:
    """The trials that are asked: all samples of one arm that were trained to the end, the best first."""
    complete = [trial for trial in run.complete() if trial.origin != FIXED]
    arms = [[trial for trial in complete if trial.arm == arm] for arm in reversed(ARMS)]
    return next((trials for trials in arms if len(trials) >= FEWEST), max(arms, key=len))


def too_little(run: RunData) -> str | None:
    """Why no setting can be said to matter, in a sentence; None if it can."""
    trials = asked(run)
    if len(trials) < FEWEST:
        return (
            f"Which settings matter cannot be said from {len(trials)} trials of an arm that were trained to the end; "
            f"{FEWEST} are the least for it."
        )
    if len({trial.val_ce for trial in trials}) < 2 or not _varying(run):
        return f"All trials of {trials[0].arm} that ended are alike, so that no setting can be said to matter."
    return None


def importances(run: RunData) -> dict[str, dict[str, float]]:
    """{method: {setting: its share, from 0 to 1}}, of a run that has enough trials for it."""
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    trials, settings = asked(run), _varying(run)
    everywhere = [setting.name for setting in settings if all(setting.name in trial.settings for trial in trials)]
    quantile = min(0.5, max(0.1, BEST / len(trials)))
    methods: dict[str, dict[str, float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = _study(settings, trials)
        for method, evaluator, names in (
            (FANOVA, FanovaImportanceEvaluator(seed=0), everywhere),
            (PED_ANOVA, PedAnovaImportanceEvaluator(target_quantile=quantile), [each.name for each in settings]),
        ):
            shares = get_param_importances(study, evaluator=evaluator, params=names) if names else {}
            methods[method] = {name: float(share) for name, share in shares.items() if math.isfinite(share)}
    return methods


def importance_figure(run: RunData) -> Figure | None:
    """Bars for each setting, the most important first."""
    if too_little(run):
        return None
    trials, methods = asked(run), importances(run)
    measured = {name for shares in methods.values() for name in shares}
    settings = sorted(
        (setting for setting in run.settings if setting.name in measured),
        key=lambda setting: (-max(shares.get(setting.name, 0.0) for shares in methods.values()), setting.name),
    )
    groups = [
        Series([_bar(row, each.name, method, shares) for row, each in enumerate(settings)], method, colour)
        for (method, shares), colour in zip(methods.items(), ("green", "purple"), strict=True)
        if shares
    ]
    bars = Bars([setting.short for setting in settings], groups, Axis("share", ends=(0.0, 1.0)))
    left_out = [setting.short for setting in settings if setting.name not in methods[FANOVA]]
    caption = (
        f"Over the {len(trials)} trials of {trials[0].arm} that were trained to the end, without its fixed setting. "
        f"{FANOVA}: share of the variance of val/ce over the whole space. {PED_ANOVA}: what sets the best trials "
        "apart. Each adds up to 1. Where they disagree, or trials are few, look at the slices."
    )
    if left_out:
        caption += f" {FANOVA} leaves out {', '.join(left_out)}, which not every trial has."
    return Figure("importance", [Chart("importance of settings", bars, 130 + 42 * len(settings))], caption)


def _bar(row: int, setting: str, method: str, shares: Mapping[str, float]) -> Point:
    if setting not in shares:
        return Point(NAN, row, f"{setting}: not by {method}")
    return Point(shares[setting], row, f"{setting}: {100 * shares[setting]:.0f} % by {method}")


def _varying(run: RunData) -> list[Setting]:
    """The settings that have more than one value among the trials that are asked."""
    trials = asked(run)
    return [
        setting
        for setting in run.settings
        if len({key(trial.settings[setting.name]) for trial in trials if setting.name in trial.settings}) > 1
    ]


def _study(settings: Sequence[Setting], trials: Sequence[TrialRow]) -> optuna.Study:
    """A study in memory that holds the trials and nothing else."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

    def value(trial: TrialRow, setting: Setting) -> Any:
        return key(trial.settings[setting.name]) if setting.kind == "choice" else trial.settings[setting.name]

    def distribution(setting: Setting) -> BaseDistribution:
        values = [value(trial, setting) for trial in trials if setting.name in trial.settings]
        if setting.kind == "choice":
            return CategoricalDistribution(list(dict.fromkeys((*map(key, setting.choices), *values))))
        low, high = min(setting.low, *values), max(setting.high, *values)
        if setting.kind == "int":
            return IntDistribution(int(low), int(high))
        return FloatDistribution(low, high, log=setting.kind == "log_uniform")

    distributions = {setting.name: distribution(setting) for setting in settings}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="minimize")
    finally:
        optuna.logging.set_verbosity(verbosity)
    for trial in trials:
        params = {each.name: value(trial, each) for each in settings if each.name in trial.settings}
        ranges = {name: distributions[name] for name in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=trial.val_ce))
    return study
