"""Tables of a finished search."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from palenka_tune.errors import PalenkaError
from palenka_tune.runs.summary import write_summary
from palenka_tune.runs.tables import read_rows, write_rows
from palenka_tune.spaces.space import effective
from palenka_tune.trials.rows import TrialRow, best_of_arms, best_row
from palenka_tune.trials.sentences import leader
from palenka_tune.words import describe_values


def row(number, state="COMPLETE", val_ce=3.0, arm="hidden", origin="proposed", **values):
    return TrialRow(
        trial_id=f"trial-{number:04d}",
        state=state,
        arm=arm,
        origin=origin,
        settings=values,
        val_ce=val_ce,
        curve={10: 4.0, 90: val_ce} if state == "COMPLETE" else {10: val_ce} if val_ce else {},
        val_ce_best=val_ce,
        # grows with the weights, as the poster's objective does
        val_total=val_ce and val_ce + sum(values.get(name, 0.0) for name in ("alpha", "beta")),
        steps=90 if state == "COMPLETE" else 10,
        tokens=900,
        seconds=1.5,
        reason=None if state == "COMPLETE" else "why",
    )


ROWS = [
    row(0, arm="plain", origin="fixed", val_ce=3.2, alpha=0.0, beta=0.0),
    row(1, arm="logits", origin="fixed", val_ce=3.1, alpha=1.0, beta=0.0),
    row(2, val_ce=2.9, alpha=1.5, beta=3.0, **{"projection.rank": 16, "projection.layer_map": {4: 4}}),
    row(3, state="PRUNED", val_ce=2.0, alpha=0.5, beta=9.0, **{"projection.rank": None}),
    row(4, state="FAILED", val_ce=None, alpha=0.5, beta=99.0),
]


def test_trials_parquet_has_a_row_per_trial_and_a_column_per_setting(tmp_path):
    write_rows(tmp_path / "trials.parquet", ROWS, ["beta", "projection.rank"])
    table = pq.read_table(tmp_path / "trials.parquet").to_pydict()
    assert table["trial_id"] == [r.trial_id for r in ROWS]
    assert table["state"] == ["COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "FAILED"]
    assert table["beta"] == [0, 0, 3, 9, 99]
    assert table["projection.rank"] == [None, None, 16, None, None]
    assert table["projection.layer_map"][2] == '{"4": 4}'
    assert table["val_ce"] == [3.2, 3.1, 2.9, 2.0, None]
    assert table["reason"][4] == "why"
    assert table["arm"] == ["plain", "logits", "hidden", "hidden", "hidden"]
    assert table["origin"] == ["fixed", "fixed", "proposed", "proposed", "proposed"]
    assert list(table)[4:6] == ["beta", "projection.rank"]
    assert "curve" not in table


def test_rows_come_back_from_their_table_but_for_the_curve(tmp_path):
    write_rows(tmp_path / "trials.parquet", ROWS[:2])
    assert read_rows(tmp_path / "trials.parquet", TrialRow) == [replace(row, curve={}) for row in ROWS[:2]]
    assert read_rows(tmp_path / "nothing.parquet", TrialRow) == []


def test_the_best_is_a_trial_that_was_trained_to_the_end():
    assert best_row(ROWS).trial_id == "trial-0002"
    with pytest.raises(PalenkaError, match="why"):
        best_row(ROWS[3:])


def test_by_the_total_the_smallest_weights_win_among_the_points_of_the_grid():
    rows = [*ROWS, row(5, val_ce=3.15, alpha=0.1, beta=0.1)]
    assert best_row(rows).trial_id == "trial-0002"
    assert best_row(rows, "val_total").trial_id == "trial-0005"
    # the fixed settings, whose total is without weights, are still the best of their arms
    best = {arm: row.trial_id for arm, row in best_of_arms(rows, "val_total").items()}
    assert best == {"plain": "trial-0000", "logits": "trial-0001", "hidden": "trial-0005"}


def test_summary_has_the_promised_keys(tmp_path):
    summary = write_summary(
        tmp_path / "s.json", ROWS, total_steps=90, wall_seconds=3.0, mlflow={"experiment_id": "1"}, extra={}
    )
    assert (summary["best"]["trial_id"], summary["best"]["arm"]) == ("trial-0002", "hidden")
    assert {arm: (found["trials"], found["best"]["val_ce"]) for arm, found in summary["arms"].items()} == {
        "plain": (1, 3.2),
        "logits": (1, 3.1),
        "hidden": (3, 2.9),
    }
    assert summary["arms"]["hidden"]["best"] == summary["best"]
    assert summary["best"]["params"]["beta"] == 3.0
    assert summary["counts"] == {"complete": 3, "pruned": 1, "failed": 1}
    assert summary["budget"] == {"trial_steps_run": 290, "trial_steps_full_grid": 450, "saved_fraction": 0.3556}
    promised = {"objective", "best", "arms", "fidelity", "twins", "counts", "budget", "wall_seconds", "mlflow"}
    assert set(summary) >= promised
    assert json.loads((tmp_path / "s.json").read_text())["arms"]["hidden"]["best"]["val_ce"] == 2.9


def test_summary_tells_what_the_trials_that_nobody_chose_say(tmp_path):
    """Twins of two arms, what a rung says of the end, and the best of n to be expected: of trials never paused."""
    rows = [
        *ROWS,
        row(5, origin="startup", val_ce=3.4, alpha=2.0, beta=1.0),
        row(6, origin="startup", val_ce=3.0, alpha=4.0, beta=2.0),
        row(7, arm="logits", origin="startup", val_ce=3.5, alpha=2.0, beta=0.0),
        row(8, arm="logits", origin="startup", val_ce=2.9, alpha=4.0, beta=0.0),
    ]
    summary = write_summary(tmp_path / "s.json", rows, total_steps=90, wall_seconds=3.0, mlflow={}, extra={})
    hidden, logits = summary["twins"]
    assert (hidden["a"], hidden["b"], hidden["better"], hidden["worse"]) == ("hidden", "logits", 1, 1)
    assert [(a, b, round(difference, 9)) for a, b, difference in hidden["pairs"]] == [
        ("trial-0005", "trial-0007", -0.1),
        ("trial-0006", "trial-0008", 0.1),
    ]
    # the two fixed settings differ in the weight that makes their arm, and are twins too
    assert [pair[:2] for pair in logits["pairs"]] == [("trial-0001", "trial-0000")]
    (rung,) = summary["fidelity"]["rungs"]
    assert (rung["fraction"], rung["trials"], rung["pairs"]) == (round(10 / 90, 4), 6, 15)
    assert rung["tau"] is None  # too few
    # of 3.0 and 3.4 at random: their mean, and three times of four the lower one
    assert summary["arms"]["hidden"]["expected_best"] == [3.2, 3.1]
    assert summary["arms"]["plain"]["expected_best"] == []


def test_summary_of_a_search_without_a_result_has_none(tmp_path):
    summary = write_summary(tmp_path / "s.json", ROWS[3:], total_steps=90, wall_seconds=3.0, mlflow={}, extra={})
    assert summary["best"] is None
    assert summary["arms"] == {"hidden": {"trials": 2, "best": None, "expected_best": []}}


def test_settings_without_effect_are_left_out():
    values = {"alpha": 0.0, "beta": 0.0, "temperature": 2, "beta_schedule": "constant", "projection.rank": 16}
    assert effective(values) == {"alpha": 0.0, "beta": 0.0}
    assert effective({**values, "alpha": 1.0}) == {"alpha": 1.0, "beta": 0.0, "temperature": 2}


def test_the_result_is_told_whichever_way_it_went():
    said = leader(best_of_arms(ROWS))
    assert said.startswith('trial-0002 (hidden: α=1.5 β=3 r=16 layers={"4": 4}) led the trials with val/ce 2.9000 nats')
    assert "one seed" in said
    assert "logits 3.1000 (+0.2000, trial-0001); plain 3.2000 (+0.3000, trial-0000)" in said
    other = leader(best_of_arms([*ROWS[:2], row(2, val_ce=3.15, alpha=1.0, beta=3.0)]))
    assert other.startswith("trial-0001 (logits: fixed setting) led the trials with val/ce 3.1000")
    assert "hidden 3.1500 (+0.0500, trial-0002); plain" in other
    assert leader(best_of_arms(ROWS[:1])).endswith("3.2000 nats per token, one seed.")
    assert leader(best_of_arms(ROWS[3:])) == ""
    assert leader(best_of_arms(ROWS), "val_total") == ""
    assert describe_values({"beta": 3.14159, "projection.rank": None}) == "beta=3.14 rank=full"
