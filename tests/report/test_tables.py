"""The tables: every trial, every model and every run, best first and with their errors."""

from __future__ import annotations

import dataclasses

from palenka_tune.report.data import RunData
from palenka_tune.report.tables import (
    comparison_table,
    differences_table,
    finalists_table,
    models_table,
    recipe_table,
    trials_table,
)
from tests.report import synthetic
from tests.report.synthetic import run_to


def test_the_table_of_trials_has_the_best_first_and_every_setting() -> None:
    run = synthetic.run(30)
    table = trials_table(run)
    assert len(table.rows) == 33
    whole = sorted(each.val_ce for each in run.trials if each.is_complete)
    assert [row[3] for row in table.rows[: len(whole)]] == [f"{value:.4f}" for value in whole]
    assert len(table.header) == 7 + len(run.settings)
    assert any(row[:2] == ["trial-0001 (fixed)", "logits"] for row in table.rows)
    # a trial of plain has the learning rate alone
    assert all(not any(row[7:-1]) for row in table.rows if row[1] == "plain")


def test_the_recipe_is_that_of_the_winner_beside_the_fixed_setting_of_its_arm() -> None:
    run = synthetic.run()
    best = run.best()
    table = recipe_table(run)
    assert [row[0] for row in table.rows] == [*best.settings]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["beta"] == (f"{best.settings['beta']:.3g}", "1")
    assert rows["projection.normalize"][1] == "layer_norm"
    assert table.caption.startswith(f"The recipe that won with fresh seeds: {best.trial_id} (hidden).")


def test_the_winner_with_fresh_seeds_need_not_be_the_best_trial() -> None:
    run = synthetic.run()
    other = run.arms()["logits"]
    run = dataclasses.replace(run, finalists=dataclasses.replace(run.finalists, winner=other.trial_id))
    table = recipe_table(run)
    assert {row[0] for row in table.rows} == {"recipe.lr", "alpha", "temperature"}
    assert f"{other.trial_id} (logits)" in table.caption


def test_without_fresh_seeds_the_recipe_is_that_of_the_best_and_without_a_student_there_is_none() -> None:
    run = synthetic.run(finalists=None)
    assert recipe_table(run).caption.startswith(f"The recipe that led the trials: {run.best().trial_id}")
    assert recipe_table(RunData("young", "preparing")) is None


def test_the_verdicts_table_is_there_where_there_are_fresh_seeds() -> None:
    assert [row[0].partition(" ")[0] for row in finalists_table(synthetic.run()).rows] == ["plain", "logits", "hidden"]
    assert finalists_table(synthetic.run(finalists=None)) is None


def test_models_have_their_scores_with_errors() -> None:
    table = models_table(synthetic.run())
    assert table.header[-1] == "blimp (%)"
    assert table.rows[1][:2] == ["best of plain", "plain"]
    assert table.rows[0][-1].endswith(" ± 0.2")


def test_the_settings_in_which_runs_differ_have_a_row_each() -> None:
    one = dataclasses.replace(run_to(4.9, "one"), configuration="search: {samples: 8, seeds: 5}\nseed: 0\n")
    two = dataclasses.replace(
        run_to(4.7, "two"), configuration="search: {samples: 30, seeds: 5}\nparameters: {beta: {choice: [1, 2]}}\n"
    )
    table = differences_table([one, two])
    assert table is not None
    assert table.header == ("setting", "one", "two")
    assert table.rows == [("search.samples", "8", "30"), ("seed", "0", ""), ("parameters.beta.choice", "", "[1, 2]")]
    assert differences_table([one, dataclasses.replace(one, name="again")]) is None


def test_the_table_has_a_row_per_run_with_the_best_of_its_arms() -> None:
    table = comparison_table([run_to(4.9, "one"), run_to(5.3, "two"), RunData("three", "preparing")])
    assert [row[0] for row in table.rows] == ["one", "two", "three"]
    assert table.header[5:] == tuple(f"best of {arm} (val/ce)" for arm in ("plain", "logits", "hidden"))
    assert [row[5:] for row in table.rows] == [["5.2000", "5.0000", "4.9000"], ["5.2000", "5.0000", "5.3000"], [""] * 3]
