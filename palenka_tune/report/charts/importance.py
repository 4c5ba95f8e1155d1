"""Which settings moved val/ce: Optuna's fANOVA and PED-ANOVA over the trials that were trained to the end.

fANOVA (Hutter et al., 2014) says what share of the variance of val/ce over the whole space is a setting's; it needs
every setting in every trial, so conditional ones are left to PED-ANOVA (arXiv:2304.10255, 2601.20800), which asks what
sets the best trials apart from all. Anchors are no samples of the space, and a trial that was stopped early has the
value of its rung and not of its end: neither counts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palenka_tune.report.charts.figure import NAN, Axis, BarGroup, Bars, Chart, Figure
from palenka_tune.report.data import RunData, Setting, Trial, key

if TYPE_CHECKING:
    import optuna
    from optuna.importance import BaseImportanceEvaluator

FEWEST = 10  # trials below which a share of variance is noise
BEST = 5  # trials that PED-ANOVA's best share should hold, as Optuna advises
FANOVA, PED_ANOVA = "fANOVA", "PED-ANOVA"


@dataclass(frozen=True)
class Importance:
    """Shares of the settings by each method, from 0 to 1; `trials` says of how many trials."""

    trials: int
    fanova: dict[str, float]
    ped_anova: dict[str, float]


def importances(run: RunData) -> Importance | str:
    """The shares, or a sentence that says why there are none."""
    trials = run.complete()
    settings = [setting for setting in run.settings if _varies(setting, trials)]
    if len(trials) < FEWEST:
        return (
            f"Which settings matter cannot be said from {len(trials)} trials that were trained to the end; {FEWEST} "
            "are the least for it."
        )
    if len({trial.val_ce for trial in trials}) < 2 or not settings:
        return "All trials that were trained to the end are alike, so that no setting can be said to matter."
    everywhere = [setting.name for setting in settings if all(setting.name in trial.values for trial in trials)]
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    quantile = min(0.5, max(0.1, BEST / len(trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = _study(settings, trials)

        def shares(evaluator: BaseImportanceEvaluator, names: list[str]) -> dict[str, float]:
            found = get_param_importances(study, evaluator=evaluator, params=names) if names else {}
            return {name: float(share) for name, share in found.items() if math.isfinite(share)}

        fanova = shares(FanovaImportanceEvaluator(seed=0), everywhere)
        ped_anova = shares(PedAnovaImportanceEvaluator(target_quantile=quantile), [each.name for each in settings])
    return Importance(len(trials), fanova, ped_anova)


def importance_figure(run: RunData, importance: Importance) -> Figure:
    """Bars for each setting, the most important first."""
    fanova, ped_anova = importance.fanova, importance.ped_anova
    settings = [setting for setting in run.settings if setting.name in {*fanova, *ped_anova}]
    settings.sort(key=lambda each: (-max(fanova.get(each.name, 0.0), ped_anova.get(each.name, 0.0)), each.name))
    groups = [
        BarGroup(
            method,
            [shares.get(setting.name, NAN) for setting in settings],
            colour,
            [_share(setting.name, method, shares.get(setting.name)) for setting in settings],
        )
        for method, shares, colour in ((FANOVA, fanova, "blue"), (PED_ANOVA, ped_anova, "gold"))
        if shares
    ]
    bars = Bars([setting.short for setting in settings], groups, Axis("share", low=0.0, high=1.0))
    left_out = [setting.short for setting in settings if setting.name not in fanova]
    caption = (
        f"Over the {importance.trials} trials that were trained to the end, without anchors. {FANOVA}: share of the "
        f"variance of val/ce over the whole space. {PED_ANOVA}: what sets the best trials apart. Each adds up to 1. "
        "Where they disagree, or trials are few, look at the slices."
    )
    if left_out:
        caption += f" {FANOVA} leaves out {', '.join(left_out)}, which not every trial has."
    chart = Chart("importance of settings", bars, 130 + 42 * len(settings))
    return Figure("importance", [chart], caption, columns=1)


def _share(setting: str, method: str, share: float | None) -> str:
    return f"{setting}: not by {method}" if share is None else f"{setting}: {100 * share:.0f} % by {method}"


def _varies(setting: Setting, trials: Sequence[Trial]) -> bool:
    return len({key(trial.values[setting.name]) for trial in trials if setting.name in trial.values}) > 1


def _study(settings: Sequence[Setting], trials: Sequence[Trial]) -> optuna.Study:
    """A study in memory that holds the trials and nothing else."""
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    def distribution(setting: Setting) -> BaseDistribution:
        values = [trial.values[setting.name] for trial in trials if setting.name in trial.values]
        if setting.kind == "choice":
            return CategoricalDistribution(list(dict.fromkeys(map(key, (*setting.choices, *values)))))
        low, high = min(setting.low, *values), max(setting.high, *values)
        if setting.kind == "int":
            return IntDistribution(int(low), int(high))
        return FloatDistribution(low, high, log=setting.kind == "log_uniform")

    distributions = {setting.name: distribution(setting) for setting in settings}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="minimize")
        for trial in trials:
            held = [setting for setting in settings if setting.name in trial.values]
            params = {
                each.name: key(trial.values[each.name]) if each.kind == "choice" else trial.values[each.name]
                for each in held
            }
            ranges = {each.name: distributions[each.name] for each in held}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=trial.val_ce))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return study
