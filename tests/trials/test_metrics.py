"""The registry of metrics: what a person reads of each, MLflow's names, and that one more is compared by its entry."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from palenka_tune.search.mlflow.names import metric_names
from palenka_tune.trials import metrics, verdict
from palenka_tune.trials.metrics import METRICS, TERMS, TEST_CE, VAL_CE, metric
from palenka_tune.trials.rows import FinalistRow, TrialRow


def test_the_registry_and_the_rows_agree():
    finalists, trials = ({field.name for field in fields(row)} for row in (FinalistRow, TrialRow))
    assert set(METRICS) <= finalists | trials
    assert {name for name, each in METRICS.items() if each.compared} <= finalists
    assert {VAL_CE, TEST_CE, *TERMS} == set(METRICS)
    assert all(name == each.name for name, each in METRICS.items())


def test_a_suite_is_an_accuracy_in_percent():
    accuracy = metric("blimp_supplement")
    assert (accuracy.title, accuracy.text(0.5034), accuracy.lower_is_better) == ("BLiMP-supplement (%)", "50.3", False)
    assert accuracy.text(-0.02, signed=True) == "-2.0"
    assert metric("my pairs").title == "my pairs (%)"
    assert (METRICS[VAL_CE].title, METRICS[VAL_CE].text(4.5)) == ("dev CE (nats per token)", "4.5000")


def test_mlflow_has_names_of_its_own():
    values = {"val_ce": 3.0, "val_kl": None, "babytalk pairs": 0.5, "train/ce": 2.0, "val_total": 4.0}
    assert metric_names(values) == {
        "val/ce": 3.0,
        "eval/babytalk_pairs": 0.5,
        "train/ce": 2.0,
        "diagnostics/val_total": 4.0,
    }


@pytest.fixture
def perplexity_is_compared(monkeypatch):
    known = dict(METRICS)
    known["val_ppl"] = replace(METRICS["val_ppl"], compared=True)
    monkeypatch.setattr(metrics, "METRICS", known)
    monkeypatch.setattr(verdict, "METRICS", known)


def test_finalists_are_compared_by_every_metric_that_says_so(perplexity_is_compared):
    rows = [
        FinalistRow(config, arm, seed, val_ce=4.0 + seed, val_ppl=50.0 + seed + (config == "trial-1"))
        for config, arm in (("trial-1", "hidden"), ("trial-0", "logits"))
        for seed in (1, 2)
    ]
    shown = {line[:2]: line for line in verdict.cells(verdict.summarise(rows))}
    assert shown["hidden (trial-1)", "perplexity"][3].startswith("52.50 ±")
    assert shown["hidden (trial-1)", "perplexity"][4] == "+1.00"
