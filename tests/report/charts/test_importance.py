"""Importance of settings: the one that matters is found, and too little is said to be too little."""

from __future__ import annotations

import dataclasses

import optuna
import pytest

from palenka_tune.report.charts.importance import (
    FANOVA,
    PED_ANOVA,
    asked,
    importance_figure,
    importances,
    too_little,
)
from palenka_tune.trials.arms import FIXED, HIDDEN, LOGITS
from tests.report import synthetic


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, float]]:
    assert too_little(synthetic.run(240)) is None
    return importances(synthetic.run(240))


def test_the_setting_that_moves_the_loss_is_first_by_both(found) -> None:
    for shares in (found[FANOVA], found[PED_ANOVA]):
        assert max(shares, key=shares.get) == "beta"
        assert sum(shares.values()) == pytest.approx(1)


def test_a_conditional_setting_is_left_to_ped_anova(found) -> None:
    assert "projection.center" not in found[FANOVA]
    assert "projection.center" in found[PED_ANOVA]
    figure = importance_figure(synthetic.run(240))
    assert "fANOVA leaves out center" in figure.caption
    assert [group.name for group in figure.charts[0].body.groups] == [FANOVA, PED_ANOVA]


def own(run, arm=HIDDEN):
    return [each for each in run.complete() if each.arm == arm and each.origin != FIXED]


def test_only_trials_of_one_arm_that_ended_count_and_no_fixed_setting() -> None:
    run = synthetic.run(240)
    assert f"Over the {len(own(run))} trials of hidden" in importance_figure(run).caption
    more = [each if each.origin == FIXED else dataclasses.replace(each, state="PRUNED") for each in run.trials]
    none = dataclasses.replace(run, trials=tuple(more))
    assert "cannot be said from 0 trials of an arm" in too_little(none)
    assert importance_figure(none) is None


def test_an_arm_of_which_too_few_ended_leaves_it_to_the_next() -> None:
    run = synthetic.run(240)
    rest = [each for each in run.trials if each.arm != HIDDEN or each.origin == FIXED]
    run = dataclasses.replace(run, trials=(*rest, *own(run)[:9]))
    assert asked(run) == own(run, LOGITS)
    assert set(importances(run)[PED_ANOVA]) == {"recipe.lr", "alpha", "temperature"}


def test_few_trials_and_equal_trials_are_a_sentence() -> None:
    run = synthetic.run(240)
    few = (*synthetic.fixed(), *own(run)[:9])
    assert "cannot be said from 9 trials" in too_little(dataclasses.replace(run, trials=few))
    alike = tuple(dataclasses.replace(each, val_ce=4.0) for each in own(run))
    assert "are alike" in too_little(dataclasses.replace(run, trials=alike))
    fixed = tuple(dataclasses.replace(each, settings=own(run)[0].settings) for each in own(run))
    assert "are alike" in too_little(dataclasses.replace(run, trials=fixed))


def test_a_grid_has_importances_too() -> None:
    found = importances(synthetic.grid_run())
    assert found[FANOVA]["beta"] > found[FANOVA]["alpha"]


def test_optuna_is_as_talkative_afterwards_as_before() -> None:
    before = optuna.logging.get_verbosity()
    importances(synthetic.run(20))
    assert optuna.logging.get_verbosity() == before
