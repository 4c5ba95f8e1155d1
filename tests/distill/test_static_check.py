"""Before steps are repeated on a device, they are compared there with the loop's; what differs is found."""

from __future__ import annotations

import math

import pytest
import torch

from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.static import step as static_step
from palenka_tune.distill.static.check import Comparison, compare
from palenka_tune.distill.static.graph import CaptureError
from tests.support.recording import record
from tests.support.tiny_lm import STUDENT, TEACHERS

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


PROJECTIONS = [(teacher.width, STUDENT.width) for teacher in TEACHERS]
FAULTS = {
    "a learning rate of 0": ("lr_factor", lambda *args: 0.0),
    "a learning rate that is a tenth too large": ("lr_factor", lambda step, *rest: 1.1 * _lr_factor(step, *rest)),
    "gradients of another layout": ("_like", lambda gradient, parameter: gradient.flip(0)),
    "the projections' gradients shuffled": (
        "_like",
        lambda gradient, parameter: gradient.flip(0) if parameter.shape in PROJECTIONS else gradient,
    ),
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
    with pytest.raises(CaptureError, match="not permitted"):
        compare(loop, refuse)
    for each in (loop, untouched):
        each.run_until(12)
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), untouched.model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["clip_grad_norm_", "AdamW"])
def test_a_step_that_stops_in_its_middle_leaves_no_gradient_behind(make_loop, monkeypatch, name):
    """What refuses is a part of moving the parameters, when their gradients are there already."""
    loop, untouched = make_loop(LOSS, steps=12), make_loop(LOSS, steps=12)

    def refuse(body, warm_up):
        def stop(*args, **settings):
            raise RuntimeError("operation not permitted when stream is capturing")

        with monkeypatch.context() as patch:
            patch.setattr(*((torch.nn.utils, name) if name[0] == "c" else (torch.optim.AdamW, "step")), stop)
            body()

    loop.capture = refuse
    for each in (loop, untouched):
        each.run_until(12)
    assert loop.capture is None  # it went on one by one
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), untouched.model.parameters(), strict=True))


@pytest.mark.parametrize("terms", [{"ce": math.nan}, {"ce": 1e-3}])
def test_what_is_far_or_not_a_number_does_not_agree(terms):
    assert Comparison({"ce": 1e-6}, 1.0, 1.0, 0.0, "float32").agrees
    assert not Comparison(terms, 1.0, 1.0, 0.0, "float32").agrees
    assert not Comparison({"ce": 1e-6}, math.nan, 1.0, 0.0, "float32").agrees
    assert not Comparison({"ce": 1e-6}, 1.0, 0.2, 0.0, "bfloat16").agrees
