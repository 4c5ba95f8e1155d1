"""The tables: every trial, every model and every run, best first and with their errors."""

from __future__ import annotations

from palenka_tune.report.data import RunData
from palenka_tune.report.tables import comparison_table, models_table, trials_table
from tests.report import synthetic
from tests.report.synthetic import run_to


def test_the_table_of_trials_has_the_best_first_and_every_setting() -> None:
    run = synthetic.run(30)
    table = trials_table(run)
    assert len(table.rows) == 32
    whole = sorted(each.val_ce for each in run.trials if each.is_complete)
    assert [row[2] for row in table.rows[: len(whole)]] == [f"{value:.4f}" for value in whole]
    assert len(table.header) == 6 + len(run.settings)
    assert any(row[0] == "trial-0001 (vanilla KD)" for row in table.rows)


def test_models_have_their_scores_with_errors() -> None:
    table = models_table(synthetic.run())
    assert table.header[-1] == "blimp (%)"
    assert table.rows[1][0] == "no distillation"
    assert table.rows[0][-1].endswith(" ± 0.2")


def test_the_table_has_a_row_per_run_against_its_own_anchors() -> None:
    table = comparison_table([run_to(4.9, "one"), run_to(5.3, "two"), RunData("three", "preparing")])
    assert [row[0] for row in table.rows] == ["one", "two", "three"]
    assert [row[6] for row in table.rows] == ["-0.1000", "+0.3000", ""]
