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

FEWEST = 10  # trials below which a share of variance is noise
BEST = 5  # trials that PED-ANOVA's best share should hold, as Optuna advises
FANOVA, PED_ANOVA = "fANOVA", "PED-ANOVA"


@dataclass(frozen=True)
class Importance:
    """Shares of the settings by each method, from 0 to 1; `trials` says of how many trials."""

    trials: int
    fanova: dict[str, float]
    ped_anova: dict[str, float]


def importances(run: RunData, seed: int = 0) -> Importance | str:
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
        methods: dict[str, dict[str, float]] = {}
        for name, evaluator, names in (
            (FANOVA, FanovaImportanceEvaluator(seed=seed), everywhere),
            (PED_ANOVA, PedAnovaImportanceEvaluator(target_quantile=quantile), [s.name for s in settings]),
        ):
            found: dict[str, float] = {}
            if names:
                found = get_param_importances(study, evaluator=evaluator, params=names)
            methods[name] = {setting: float(share) for setting, share in found.items() if math.isfinite(share)}
    return Importance(len(trials), methods[FANOVA], methods[PED_ANOVA])


def importance_figure(run: RunData, found: Importance) -> Figure:
    """Bars for each setting, the most important first."""
    names = sorted(
        {*found.fanova, *found.ped_anova},
        key=lambda name: (-max(found.fanova.get(name, 0.0), found.ped_anova.get(name, 0.0)), name),
    )
    short = {setting.name: setting.short for setting in run.settings}
    groups = [
        BarGroup(
            label,
            [shares.get(name, NAN) for name in names],
            colour,
            [
                f"{name}: {100 * shares[name]:.0f} % by {label}" if name in shares else f"{name}: not by {label}"
                for name in names
            ],
        )
        for label, shares, colour in ((FANOVA, found.fanova, "blue"), (PED_ANOVA, found.ped_anova, "gold"))
        if shares
    ]
    chart = Chart(
        "importance of settings",
        Bars([short.get(name, name) for name in names], groups, Axis("share", low=0.0, high=1.0)),
        130 + 42 * len(names),
    )
    left_out = [short.get(name, name) for name in names if name not in found.fanova]
    caption = (
        f"Over the {found.trials} trials that were trained to the end, without anchors. {FANOVA}: share of the "
        f"variance of val/ce over the whole space. {PED_ANOVA}: what sets the best trials apart. Each adds up to 1. "
        "Where they disagree, or trials are few, look at the slices."
    )
    if left_out:
        caption += f" {FANOVA} leaves out {', '.join(left_out)}, which not every trial has."
    return Figure("importance", [chart], caption, columns=1)


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

    known = {setting.name: distribution(setting) for setting in settings}
    kinds = {setting.name: setting.kind for setting in settings}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="minimize")
        for trial in trials:
            values = {name: trial.values[name] for name in known if name in trial.values}
            study.add_trial(
                optuna.trial.create_trial(
                    params={name: key(value) if kinds[name] == "choice" else value for name, value in values.items()},
                    distributions={name: known[name] for name in values},
                    value=trial.val_ce,
                )
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return study
