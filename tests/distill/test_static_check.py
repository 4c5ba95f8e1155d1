"""Before steps are repeated on a device, they are compared there with the loop's; what differs is found."""

from __future__ import annotations

import math

import pytest
import torch

from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.static import step as static_step
from palenka_tune.distill.static.check import Comparison, compare
from tests.support.recording import record

LOSS = DistillSettings(alpha=1, beta=3, beta_schedule="cosine_decay")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_that_are_the_same_agree_and_leave_the_loop_as_it_was(make_loop, precision):
    settings = {"steps": 12, "averaging": True, "precision": precision}
    loop, untouched = make_loop(LOSS, **settings), make_loop(LOSS, **settings)
    for each in (loop, untouched):
        each.run_until(3)
    found = compare(loop, record)
    assert found.agrees, found.describe()
    assert set(found.terms) == {"total", "ce", "kl", "hidden", "val_ce", "val_ppl"}
    assert (loop.step, loop.tokens) == (untouched.step, untouched.tokens)
    for each in (loop, untouched):
        each.run_until(12)
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), untouched.model.parameters(), strict=True))
    assert loop.validate(averaged=True) == untouched.validate(averaged=True)


def test_at_the_first_step_of_a_training_the_optimiser_begins_anew(make_loop):
    loop, untouched = make_loop(LOSS, steps=12), make_loop(LOSS, steps=12)
    assert compare(loop, record).agrees
    for each in (loop, untouched):
        each.run_until(12)
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), untouched.model.parameters(), strict=True))


FAULTS = {
    "a learning rate of 0": ("lr_factor", lambda *args: 0.0),
    "a learning rate that is a tenth too large": ("lr_factor", lambda step, *rest: 1.1 * _lr_factor(step, *rest)),
    "gradients of another layout": ("_like", lambda gradient, parameter: gradient.flip(0)),
}
_lr_factor = static_step.lr_factor


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fault_does_not_agree(make_loop, monkeypatch, fault, precision):
    monkeypatch.setattr(static_step, *FAULTS[fault])
    found = compare(make_loop(LOSS, steps=12, precision=precision), record)
    assert not found.agrees, found.describe()


def test_a_step_that_cannot_be_captured_leaves_the_loop_as_it_was(make_loop):
    def refuse(body, warm_up):
        body()
        raise RuntimeError("operation not permitted when stream is capturing")

    loop, untouched = make_loop(LOSS, steps=12), make_loop(LOSS, steps=12)
    with pytest.raises(RuntimeError, match="not permitted"):
        compare(loop, refuse)
    for each in (loop, untouched):
        each.run_until(12)
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), untouched.model.parameters(), strict=True))


@pytest.mark.parametrize("terms", [{"ce": math.nan}, {"ce": 1e-3}])
def test_what_is_far_or_not_a_number_does_not_agree(terms):
    assert Comparison({"ce": 1e-6}, 1.0, 0.0, "float32").agrees
    assert not Comparison(terms, 1.0, 0.0, "float32").agrees
    assert not Comparison({"ce": 1e-6}, math.nan, 0.0, "float32").agrees
