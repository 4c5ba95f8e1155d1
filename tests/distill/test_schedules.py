"""Schedules at their ends and in between."""

from __future__ import annotations

import pytest

from palenka_tune.distill.schedules import WEIGHT_SCHEDULES, lr_factor, weight_at


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", [2, 2, 2]),
        ("linear_decay", [2, 1, 0]),
        ("cosine_decay", [2, 1, 0]),
        ("warmup", [0, 2, 2]),
    ],
)
def test_weights_at_start_middle_and_end(schedule, values):
    assert [weight_at(2.0, schedule, step, 100) for step in (0, 50, 100)] == pytest.approx(values, abs=1e-9)


def test_a_hint_is_on_for_the_first_part_of_the_steps():
    assert [weight_at(2.0, "hint", step, 100, until=0.3) for step in (0, 29, 30, 99)] == [2.0, 2.0, 0.0, 0.0]


@pytest.mark.parametrize("schedule", WEIGHT_SCHEDULES)
def test_no_schedule_leaves_zero_to_its_base(schedule):
    assert all(0 <= weight_at(3.0, schedule, step, 40) <= 3.0 for step in range(41))
    assert all(weight_at(0.0, schedule, step, 40) == 0 for step in range(41))


def test_learning_rate_warms_up_linearly_and_ends_near_zero():
    factors = [lr_factor(step, 10, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001
    assert lr_factor(0, 0, 1) == 1.0
