"""Averaged weights: what they are, that measuring them leaves the training alone, and that checkpoints keep them."""

from __future__ import annotations

import pytest
import torch

from palenka_tune.distill.average import WeightAverage


def test_a_constant_is_its_own_average():
    weights = torch.full((3,), 2.5)
    average = WeightAverage([weights])
    for step in range(1, 200):
        average.take(average.weight(step))
    assert torch.equal(average.values[0], weights)


def test_the_average_of_a_line_lags_by_a_tenth_of_the_steps():
    weights = torch.zeros(1, dtype=torch.float64)
    average = WeightAverage([weights])
    for step in range(1, 2001):
        weights.fill_(step)
        average.take(average.weight(step))
    assert float(average.values[0]) == pytest.approx(2000 * 10 / 11, rel=0.01)


def test_the_first_steps_are_forgotten():
    weights = torch.full((1,), 1e6)
    average = WeightAverage([weights])
    weights.zero_()
    for step in range(1, 11):
        average.take(average.weight(step))
    assert float(average.values[0]) == 0.0


def test_the_weights_come_back_even_after_an_error():
    weights = torch.ones(2)
    average = WeightAverage([weights])
    average.values[0].fill_(7.0)
    seen = []

    def measure() -> None:
        with average.swapped():
            seen.extend(weights.tolist())
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        measure()
    assert seen == [7.0, 7.0]
    assert weights.tolist() == [1.0, 1.0]
