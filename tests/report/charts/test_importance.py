"""Importance of settings: the one that matters is found, and too little is said to be too little."""

from __future__ import annotations

import dataclasses

import optuna
import pytest

from palenka_tune.report.charts.importance import FANOVA, PED_ANOVA, Importance, importance_figure, importances
from tests.report import synthetic


@pytest.fixture(scope="module")
def found() -> Importance:
    found = importances(synthetic.run(120))
    assert isinstance(found, Importance)
    return found


def test_the_setting_that_moves_the_loss_is_first_by_both(found) -> None:
    assert max(found.fanova, key=found.fanova.get) == "beta"
    assert max(found.ped_anova, key=found.ped_anova.get) == "beta"
    assert sum(found.fanova.values()) == pytest.approx(1)
    assert sum(found.ped_anova.values()) == pytest.approx(1)


def test_a_conditional_setting_is_left_to_ped_anova(found) -> None:
    assert "projection.center" not in found.fanova
    assert "projection.center" in found.ped_anova
    figure = importance_figure(synthetic.run(120), found)
    assert "fANOVA leaves out center" in figure.caption
    assert [group.name for group in figure.charts[0].body.groups] == [FANOVA, PED_ANOVA]


def test_only_trials_that_ended_count_and_no_anchor() -> None:
    run = synthetic.run(120)
    assert importances(run).trials == len(run.complete())
    more = [dataclasses.replace(each, state="PRUNED") if each.anchor is None else each for each in run.trials]
    assert "cannot be said from 0 trials" in importances(dataclasses.replace(run, trials=tuple(more)))


def test_few_trials_and_equal_trials_are_a_sentence() -> None:
    run = synthetic.run(120)
    few = (*synthetic.anchors(), *run.complete()[:9])
    assert "cannot be said from 9 trials" in importances(dataclasses.replace(run, trials=few))
    alike = tuple(dataclasses.replace(each, val_ce=4.0) for each in run.complete())
    assert "are alike" in importances(dataclasses.replace(run, trials=alike))
    fixed = tuple(dataclasses.replace(each, values=run.complete()[0].values) for each in run.complete())
    assert "are alike" in importances(dataclasses.replace(run, trials=fixed))


def test_a_grid_has_importances_too() -> None:
    found = importances(synthetic.grid_run())
    assert found.fanova["beta"] > found.fanova["alpha"]


def test_optuna_is_as_talkative_afterwards_as_before() -> None:
    before = optuna.logging.get_verbosity()
    importances(synthetic.run(20))
    assert optuna.logging.get_verbosity() == before
