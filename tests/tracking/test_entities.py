import math

import pytest
from mlflow.utils.validation import (
    _validate_batch_log_data,
    _validate_batch_log_limits,
    _validate_metric_name,
    _validate_tag_name,
)

from palenka_tune.tracking.entities import batches, clean_name, entities


def metrics(step=1, **values):
    return {"op": "metrics", "time": 1000 + step, "step": step, "metrics": values}


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("val/ce", "val/ce"),
        ("loss (nats) τ=2", "loss _nats_ τ_2"),
        ("/a//b/../c/", "a/b/c"),
        ("..", "_"),
        ("x" * 300, "x" * 250),
        ("x" * 249 + "/y", "x" * 249),
    ],
)
def test_names_become_ones_that_mlflow_takes(name, cleaned):
    assert clean_name(name) == cleaned
    _validate_metric_name(clean_name(name))
    _validate_tag_name(clean_name(name))


def test_nan_stays_and_infinity_becomes_a_tag():
    items = entities([metrics(300, **{"val/ce": math.inf, "val/kl": math.nan, "val/total": 1.5})])
    assert {item.key: item.value for item in items if hasattr(item, "step")} == pytest.approx(
        {"val/kl": math.nan, "val/total": 1.5}, nan_ok=True
    )
    assert [(item.key, item.value) for item in items if not hasattr(item, "step")] == [
        ("palenka.infinite.val/ce", "inf at step 300")
    ]


def test_the_last_value_of_a_tag_wins_and_long_values_are_cut():
    items = entities(
        [{"tags": {"a": "1"}}, {"tags": {"a": "2"}}, {"params": {"p": "v" * 9000}}, {"params": {"p": "w"}}]
    )
    assert [(item.key, item.value) for item in items if item.key == "a"] == [("a", "2")]
    params = [item.value for item in items if item.key == "p"]
    assert len(params[0]) == 6000
    assert params[0].endswith("...")
    assert params[1] == "w"  # left to MLflow to refuse


def test_batches_respect_the_limits_and_keep_everything_in_order():
    events = [metrics(step, a=0.1, b=0.2) for step in range(1200)]
    events += [{"params": {f"p{n}": "v" for n in range(250)}}, {"tags": {f"t{n}": "v" for n in range(130)}}]
    items = entities(events)
    cut = list(batches(items))
    assert [item for batch in cut for item in batch] == items
    for batch in cut:
        kinds = [[item for item in batch if type(item).__name__ == kind] for kind in ("Metric", "Param", "RunTag")]
        _validate_batch_log_limits(*kinds)
        _validate_batch_log_data(*kinds)
    assert len(cut) <= 6
