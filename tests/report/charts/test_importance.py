"""Importance of settings: the one that matters is found, and too little is said to be too little."""

from __future__ import annotations

import dataclasses

import optuna
import pytest

from palenka_tune.report.charts.importance import FANOVA, PED_ANOVA, importance_figure, importances, too_little
from tests.report import synthetic


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, float]]:
    assert too_little(synthetic.run(120)) is None
    return importances(synthetic.run(120))


def test_the_setting_that_moves_the_loss_is_first_by_both(found) -> None:
    for shares in (found[FANOVA], found[PED_ANOVA]):
        assert max(shares, key=shares.get) == "beta"
        assert sum(shares.values()) == pytest.approx(1)


def test_a_conditional_setting_is_left_to_ped_anova(found) -> None:
    assert "projection.center" not in found[FANOVA]
    assert "projection.center" in found[PED_ANOVA]
    figure = importance_figure(synthetic.run(120))
    assert "fANOVA leaves out center" in figure.caption
    assert [group.name for group in figure.charts[0].body.groups] == [FANOVA, PED_ANOVA]


def test_only_trials_that_ended_count_and_no_anchor() -> None:
    run = synthetic.run(120)
    assert f"Over the {len(run.complete())} trials" in importance_figure(run).caption
    more = [dataclasses.replace(each, state="PRUNED") if each.anchor is None else each for each in run.trials]
    none = dataclasses.replace(run, trials=tuple(more))
    assert "cannot be said from 0 trials" in too_little(none)
    assert importance_figure(none) is None


def test_few_trials_and_equal_trials_are_a_sentence() -> None:
    run = synthetic.run(120)
    few = (*synthetic.anchors(), *run.complete()[:9])
    assert "cannot be said from 9 trials" in too_little(dataclasses.replace(run, trials=few))
    alike = tuple(dataclasses.replace(each, val_ce=4.0) for each in run.complete())
    assert "are alike" in too_little(dataclasses.replace(run, trials=alike))
    fixed = tuple(dataclasses.replace(each, settings=run.complete()[0].settings) for each in run.complete())
    assert "are alike" in too_little(dataclasses.replace(run, trials=fixed))


def test_a_grid_has_importances_too() -> None:
    found = importances(synthetic.grid_run())
    assert found[FANOVA]["beta"] > found[FANOVA]["alpha"]


def test_optuna_is_as_talkative_afterwards_as_before() -> None:
    before = optuna.logging.get_verbosity()
    importances(synthetic.run(20))
    assert optuna.logging.get_verbosity() == before
