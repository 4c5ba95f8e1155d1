"""Tables of a finished search."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from palenka_tune.errors import PalenkaError
from palenka_tune.runs.summary import write_summary, write_trials
from palenka_tune.spaces.space import effective, parse_space
from palenka_tune.students.scores import comparison
from palenka_tune.trials.rows import best_row
from palenka_tune.words import describe_values


def row(number, state="COMPLETE", val_ce=3.0, anchor=None, **values):
    return {
        "trial_id": f"trial-{number:04d}",
        "state": state,
        "anchor": anchor,
        "values": values,
        "val_ce": val_ce,
        "curve": {10: 4.0, 90: val_ce} if state == "COMPLETE" else {10: val_ce} if val_ce else {},
        "val_ce_best": val_ce,
        "val_kl": None,
        "val_hidden": None,
        # grows with the weights, as the poster's objective does
        "val_total": val_ce and val_ce + sum(values.get(name, 0.0) for name in ("alpha", "beta")),
        "steps": 90 if state == "COMPLETE" else 10,
        "tokens": 900,
        "seconds": 1.5,
        "reason": None if state == "COMPLETE" else "why",
    }


ROWS = [
    row(0, anchor="no_distillation", val_ce=3.2, alpha=0.0, beta=0.0),
    row(1, anchor="vanilla_kd", val_ce=3.1, alpha=1.0, beta=0.0),
    row(2, val_ce=2.9, alpha=1.5, beta=3.0, **{"projection.rank": 16, "projection.layer_map": {4: 4}}),
    row(3, state="PRUNED", val_ce=2.0, alpha=0.5, beta=9.0, **{"projection.rank": None}),
    row(4, state="FAILED", val_ce=None, alpha=0.5, beta=99.0),
]


def test_trials_parquet_has_a_row_per_trial_and_a_column_per_setting(tmp_path):
    space = parse_space({"beta": {"uniform": [0, 99]}, "rank": {"choice": [16, None]}}, "x")
    write_trials(tmp_path / "trials.parquet", ROWS, space)
    table = pq.read_table(tmp_path / "trials.parquet").to_pydict()
    assert table["trial_id"] == [r["trial_id"] for r in ROWS]
    assert table["state"] == ["COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "FAILED"]
    assert table["beta"] == [0, 0, 3, 9, 99]
    assert table["projection.rank"] == [None, None, 16, None, None]
    assert table["projection.layer_map"][2] == '{"4": 4}'
    assert table["val_ce"] == [3.2, 3.1, 2.9, 2.0, None]
    assert table["reason"][4] == "why"


def test_the_best_is_a_trial_that_was_trained_to_the_end():
    assert best_row(ROWS)["trial_id"] == "trial-0002"
    with pytest.raises(PalenkaError, match="why"):
        best_row(ROWS[3:])


def test_by_the_total_the_smallest_weights_win_among_the_points_of_the_grid():
    rows = [*ROWS, row(5, val_ce=3.15, alpha=0.1, beta=0.1)]
    assert best_row(rows)["trial_id"] == "trial-0002"
    assert best_row(rows, "val_total")["trial_id"] == "trial-0005"


def test_summary_has_the_promised_keys(tmp_path):
    summary = write_summary(
        tmp_path / "s.json", ROWS, total_steps=90, wall_seconds=3.0, mlflow={"experiment_id": "1"}, extra={}
    )
    assert summary["best"]["trial_id"] == "trial-0002"
    assert summary["baselines"] == {"no_distillation": {"val_ce": 3.2}, "vanilla_kd": {"val_ce": 3.1}}
    assert summary["counts"] == {"complete": 3, "pruned": 1, "failed": 1}
    assert summary["budget"] == {"trial_steps_run": 290, "trial_steps_full_grid": 450, "saved_fraction": 0.3556}
    assert set(summary) >= {"objective", "best", "baselines", "counts", "budget", "wall_seconds", "mlflow"}


def test_settings_without_effect_are_left_out():
    values = {"alpha": 0.0, "beta": 0.0, "temperature": 2, "beta_schedule": "constant", "projection.rank": 16}
    assert effective(values) == {"alpha": 0.0, "beta": 0.0}
    assert effective({**values, "alpha": 1.0}) == {"alpha": 1.0, "beta": 0.0, "temperature": 2}


def test_the_result_is_told_whichever_way_it_went():
    assert "0.1000 lower than vanilla_kd" in comparison(3.0, {"vanilla_kd": 3.1})
    assert "0.1000 higher than vanilla_kd" in comparison(3.2, {"vanilla_kd": 3.1})
    assert "vanilla_kd did not finish" in comparison(3.2, {"vanilla_kd": None})
    assert describe_values({"beta": 3.14159, "projection.rank": None}) == "beta=3.14 rank=full"
