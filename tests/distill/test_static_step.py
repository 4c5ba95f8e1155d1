"""Steps that ask the device nothing: recorded once and repeated blindly, they train as the loop does."""

from __future__ import annotations

import functools

import pytest
import torch

from palenka_tune.distill.loop import TrainingLoop, load_checkpoint, save_checkpoint
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.static import step as static_step
from tests.support.recording import Recording, record

LOSSES = {
    "plain": DistillSettings(alpha=0, beta=0),
    "exact": DistillSettings(alpha=2, beta=0, temperature=2.0),
    "reverse": DistillSettings(alpha=2, beta=0, divergence="reverse_kl", ensemble="probabilities"),
    "schedules": DistillSettings(
        alpha=1, beta=3, projection=ProjectionSettings(rank=8), alpha_schedule="warmup", beta_schedule="cosine_decay"
    ),
    "hint": DistillSettings(alpha=1, beta=3, beta_schedule="hint", beta_until=0.5),
    "orthogonal": DistillSettings(alpha=1, beta=1, projection=ProjectionSettings(kind="orthogonal")),
    "mlp": DistillSettings(beta=1, projection=ProjectionSettings(direction="teacher_to_student", kind="mlp")),
    "whitened": DistillSettings(
        beta=1, projection=ProjectionSettings(direction="teacher_to_student", normalize="whiten", sharing="per_teacher")
    ),
    "unit": DistillSettings(beta=1, projection=ProjectionSettings(normalize="unit", distance="cosine", rank=4)),
    "no gradient": DistillSettings(beta=1, hidden_gradient=False),
}
STEPS = 12


@pytest.fixture
def make(make_loop):
    return functools.partial(make_loop, steps=STEPS, averaging=True)


def static(loop: TrainingLoop) -> TrainingLoop:
    loop.capture = record
    return loop


def weights(loop: TrainingLoop, *, projections: bool = True) -> torch.Tensor:
    trained = [*loop.model.parameters(), *loop.average.values, *(loop.objective.parameters() if projections else ())]
    return torch.cat([each.detach().flatten() for each in trained])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_repeated_steps_train_as_the_loop_does(make, name, accumulate):
    loop, again = make(LOSSES[name], accumulate=accumulate), static(make(LOSSES[name], accumulate=accumulate))
    expected, found = loop.run_until(STEPS)[-1], again.run_until(STEPS)[-1]
    assert found.terms.keys() == expected.terms.keys()
    for term, value in expected.terms.items():
        assert found.terms[term] == pytest.approx(value, rel=1e-5), term
    assert (found.step, found.tokens) == (expected.step, expected.tokens)
    assert found.lr == pytest.approx(expected.lr)
    # a bias before whitening has a gradient of 0, and Adam makes steps of what rounding leaves of it
    ours, theirs = (weights(each, projections=name != "whitened") for each in (again, loop))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_stop_and_resume_is_bit_for_bit_no_stop(make, name, tmp_path):
    whole = static(make(LOSSES[name]))
    whole.run_until(5)
    whole.run_until(STEPS)
    first = static(make(LOSSES[name]))
    first.run_until(5)
    save_checkpoint(first.state_dict(), tmp_path / "checkpoint.pt")
    second = static(make(LOSSES[name]))
    second.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    second.run_until(STEPS)
    assert torch.equal(weights(second), weights(whole))


@pytest.mark.parametrize("most", [None, 7])
def test_repeated_validation_measures_what_the_loop_does(make, most):
    """24 windows, the last half padding, in batches of 8: also a batch that is not full."""
    loop = static(make(LOSSES["exact"]))
    loop.run_until(5)
    for averaged in (False, True):
        found = loop.validate(teachers=False, most=most, averaged=averaged)
        loop.capture, capture = None, loop.capture
        expected = loop.validate(teachers=False, most=most, averaged=averaged)
        loop.capture = capture
        assert found.keys() == expected.keys()
        assert found["val_ce"] == pytest.approx(expected["val_ce"], rel=1e-6)
    loop.run_until(STEPS)
    assert loop.validate(teachers=False)["val_ce"] != found["val_ce"]


def test_the_loop_goes_on_from_the_checkpoint_of_repeated_steps(make, tmp_path):
    whole = make(LOSSES["hint"])
    whole.run_until(STEPS)
    first = static(make(LOSSES["hint"]))
    first.run_until(5)
    save_checkpoint(first.state_dict(), tmp_path / "checkpoint.pt")
    second = make(LOSSES["hint"])
    second.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    second.run_until(STEPS)
    torch.testing.assert_close(weights(second), weights(whole), rtol=1e-4, atol=1e-5)


def test_a_recording_refuses_what_a_cuda_graph_could_not_hold():
    x = torch.arange(4.0)
    for asks in (lambda: float(x.sum()), lambda: x[x > 1], lambda: torch.tensor(1.0), lambda: x.nonzero()):
        with pytest.raises(RuntimeError, match="asks the device"), Recording():
            asks()


# --- faults, planted: each must be seen by the comparison above


def _end(make, name: str = "schedules") -> torch.Tensor:
    loop = static(make(LOSSES[name]))
    loop.run_until(STEPS)
    return weights(loop)


def test_a_baked_loss_weight_is_seen(make, monkeypatch):
    right, plain = _end(make), DistillationObjective.terms

    def baked(self, model, batch, request, alpha, beta, *rest):
        return plain(self, model, batch, request, alpha, 3.0, *rest)  # beta as it is at the first step

    monkeypatch.setattr(DistillationObjective, "terms", baked)
    assert not torch.allclose(_end(make), right, rtol=1e-4, atol=1e-5)


def test_a_baked_learning_rate_is_seen(make, monkeypatch):
    right = _end(make)
    monkeypatch.setattr(static_step, "lr_factor", lambda *args: 1.0)
    assert not torch.allclose(_end(make), right, rtol=1e-4, atol=1e-5)


def test_a_counter_that_stays_where_capturing_left_it_is_seen(make, monkeypatch):
    right = _end(make)
    monkeypatch.setattr(static_step.StaticStep, "_rewind", lambda self, sums: None)
    with pytest.raises((AssertionError, IndexError, RuntimeError)):
        assert torch.allclose(_end(make), right, rtol=1e-4, atol=1e-5)


def test_a_gradient_of_another_layout_is_put_right(make, monkeypatch):
    right, plain = _end(make), torch.autograd.grad

    def transposed(*args, **settings):
        return [
            made.T.contiguous().T if made is not None and made.dim() == 2 else made for made in plain(*args, **settings)
        ]

    monkeypatch.setattr(torch.autograd, "grad", transposed)
    torch.testing.assert_close(_end(make), right)
    monkeypatch.setattr(static_step, "_like", lambda gradient, parameter: gradient)
    assert not torch.allclose(_end(make), right, rtol=1e-4, atol=1e-5)
