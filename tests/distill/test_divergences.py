"""Every divergence of the registry against its textbook formula in float64 and autograd's gradient of that: by itself,
in the chunked loss and under an objective."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.plain import teacher_log_probs
from palenka_tune.distill import losses
from palenka_tune.distill.divergences import DIVERGENCES
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.settings import DistillSettings, Divergence
from palenka_tune.distill.signals import WindowBatch
from palenka_tune.distill.targets import ExactTargets, HeadLogits, LogitRequest
from palenka_tune.errors import UserError
from tests.support.tiny_lm import PAD, STUDENT, TinyLM, windows

C, V = 6, 40
WEIGHTS = (0.1, 0.5, 0.9)


def kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def jsd(log_q: Tensor, log_p: Tensor, w: float) -> Tensor:
    log_m = torch.logsumexp(torch.stack([log_q + math.log(w), log_p + math.log(1 - w)]), dim=0)
    return w * kl(log_q, log_m) + (1 - w) * kl(log_p, log_m)


# name -> value from log q, log p and the weight
TEXTBOOK = {
    "forward_kl": lambda log_q, log_p, w: kl(log_q, log_p),
    "reverse_kl": lambda log_q, log_p, w: kl(log_p, log_q),
    "jensen_shannon": jsd,
}


def textbook(name: str, teacher: Tensor, student: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Value and gradient by the student's logits, in float64."""
    z = student.detach().to(torch.float64, copy=True).requires_grad_()
    value = TEXTBOOK[name](F.log_softmax(teacher.double(), -1), F.log_softmax(z, -1), weight)
    return value.detach(), torch.autograd.grad(value.sum(), z)[0]


def divergence(name: str, teacher: Tensor, student: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """The registry's, which may overwrite the teachers' logits but not the student's."""
    before = student.clone()
    value, gradient = DIVERGENCES[name](teacher.clone(), student, weight)
    assert torch.equal(student, before)
    assert value.shape == student.shape[:1]
    assert gradient.shape == student.shape
    assert value.dtype == gradient.dtype == torch.float32
    return value, gradient


def logits(kind: str) -> tuple[Tensor, Tensor]:
    """The teachers' and the student's (C,V)."""
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, C, V, generator=generator)
    if kind == "signs":  # each +10,000 or -10,000
        return 1e4 * teacher.sign(), 1e4 * student.sign()
    if kind == "one of them":  # +10,000 for one token, another one for the student; -10,000 for all others
        one = torch.eye(V)[:C]
        return 2e4 * one - 1e4, 2e4 * one.roll(1, dims=1) - 1e4
    return {"flat": 0.1, "usual": 3.0, "sharp": 50.0}[kind] * teacher, 3.0 * student


def test_settings_and_registry_have_the_same_names():
    assert tuple(DIVERGENCES) == get_args(Divergence)


@pytest.mark.parametrize("kind", ["flat", "usual", "sharp", "signs", "one of them"])
@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_value_and_gradient_are_those_of_the_formula(name, weight, tau, kind):
    teacher, student = (each / tau for each in logits(kind))
    rounding = 1e-6 * max(1.0, float(student.abs().max()))
    value, gradient = divergence(name, teacher, student, weight)
    expected, by_logits = textbook(name, teacher, student, weight)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=rounding)
    torch.testing.assert_close(gradient.double(), by_logits, rtol=1e-5, atol=rounding)
    assert (expected > 10 * rounding).any()  # or the above says little
    assert by_logits.abs().max() > 10 * rounding or kind in ("signs", "one of them")


@pytest.mark.parametrize("kind", ["flat", "usual", "sharp", "signs", "one of them"])
@pytest.mark.parametrize("shift", [0.0, 4.0])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_equal_distributions_are_no_distance_apart_and_pull_nowhere(name, weight, shift, kind):
    """Equal up to a constant that a softmax does not see."""
    teacher, _ = logits(kind)
    value, gradient = divergence(name, teacher, teacher - shift, weight)
    rounding = 2e-7 * float(teacher.abs().max()) if shift else 1e-6
    torch.testing.assert_close(value, torch.zeros(C), rtol=0, atol=max(1e-6, rounding))
    torch.testing.assert_close(gradient, torch.zeros(C, V), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["flat", "usual", "sharp", "signs", "one of them"])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("name", DIVERGENCES)
def test_values_are_not_negative_and_gradients_sum_to_zero(name, weight, kind):
    """A softmax does not see a constant, so no gradient points along one."""
    value, gradient = divergence(name, *logits(kind), weight)
    assert (value >= -1e-6).all()
    assert (gradient.sum(-1).abs() <= 1e-6 * (1 + value)).all()


# --- the generalised Jensen-Shannon divergence


@pytest.mark.parametrize(("weight", "share", "limit"), [(1e-9, 1e-9, "forward_kl"), (1 - 1e-9, 1e-9, "reverse_kl")])
def test_jensen_shannon_over_its_small_share_becomes_a_kl(weight, share, limit):
    """JSD_w / w is the forward KL at 0, JSD_w / (1 - w) the reverse KL at 1; in float64, since both are small."""
    teacher, student = (each.double() for each in logits("flat"))
    value, gradient = DIVERGENCES["jensen_shannon"](teacher.clone(), student, weight)
    expected, by_logits = textbook(limit, teacher, student, weight)
    torch.testing.assert_close(value / share, expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(gradient / share, by_logits, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_jensen_shannon_is_at_most_the_entropy_of_its_weight(weight):
    entropy = -weight * math.log(weight) - (1 - weight) * math.log(1 - weight)
    disjoint, _ = divergence("jensen_shannon", *logits("one of them"), weight)
    torch.testing.assert_close(disjoint, torch.full((C,), entropy))
    for kind in ("flat", "usual", "sharp"):
        assert (divergence("jensen_shannon", *logits(kind), weight)[0] < entropy).all()


def test_jensen_shannon_of_swapped_distributions_has_the_swapped_weight():
    teacher, student = logits("usual")
    for weight in WEIGHTS:
        ours, _ = divergence("jensen_shannon", teacher, student, weight)
        torch.testing.assert_close(divergence("jensen_shannon", student, teacher, 1 - weight)[0], ours)


# --- in the loss


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks and blocks of 8 positions and fewer."""
    monkeypatch.setitem(losses.CHUNK_ELEMENTS, "cpu", 10 * V)
    monkeypatch.setitem(losses.BLOCK_ELEMENTS, "cpu", V)


@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_chunked_loss_has_the_value_and_gradient_of_the_formula(small_chunks, name, tau, ensemble, reduction):
    generator = torch.Generator().manual_seed(1)
    share, alpha, averaged = 0.3, 0.7, [0.25, 0.75]
    tokens = torch.randint(1, V, (3, 5), generator=generator)
    tokens[-1, -2:] = PAD
    widths = (6, 8, 5)
    states = [torch.randn(3, 5, width, generator=generator) for width in widths]
    heads = [torch.randn(V, width, generator=generator) for width in widths]
    parameters = [states[0].requires_grad_(), heads[0].requires_grad_(), torch.randn(V, generator=generator)]
    parameters[2].requires_grad_()
    teachers = [HeadLogits(h.flatten(0, 1), OutputHead(w)) for h, w in zip(states[1:], heads[1:], strict=True)]
    terms = losses.logit_loss(
        states[0],
        OutputHead(heads[0], parameters[2]),
        tokens,
        PAD,
        ExactTargets(teachers, LogitRequest(tuple(averaged), tau, ensemble, name, share)),
        alpha=alpha,
        temperature=tau,
        reduction=reduction,
    )

    exact = [parameter.detach().double().requires_grad_() for parameter in parameters]
    student = exact[0] @ exact[1].T + exact[2]
    teacher = [h.double() @ w.double().T for h, w in zip(states[1:], heads[1:], strict=True)]
    log_q = teacher_log_probs(teacher, averaged, tau, ensemble)
    each = TEXTBOOK[name](log_q, F.log_softmax(student / tau, -1), share)
    mask = tokens != PAD
    expected = tau**2 * (each * mask).sum() / (mask.sum() if reduction == "token" else 3)
    ce = F.cross_entropy(student[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)
    assert float(terms.kl) == pytest.approx(float(expected.detach()), rel=1e-4)
    found = torch.autograd.grad(terms.total, parameters)
    for ours, reference in zip(found, torch.autograd.grad(ce + alpha * expected, exact), strict=True):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [0.2, 0.8])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_an_objective_measures_the_divergence_of_its_settings(source, name, weight):
    settings = DistillSettings(beta=0, temperature=2.0, divergence=name, divergence_weight=weight)
    objective = DistillationObjective(settings, STUDENT, source, total_steps=10, pad_id=PAD, seed=0)
    model, tokens = TinyLM(STUDENT.width, STUDENT.depth, seed=5), windows(6, 7)
    found = objective(model, WindowBatch("train", torch.arange(6), tokens), 0).kl
    with torch.no_grad():
        teachers = [teacher(tokens).logits.double() for teacher in source.models]
        log_q = teacher_log_probs(teachers, [0.5, 0.5], 2.0, "logits")
        each = TEXTBOOK[name](log_q, F.log_softmax(model(tokens).logits.double() / 2.0, -1), weight)
    assert float(found) == pytest.approx(4.0 * float(each[tokens != PAD].mean()), rel=1e-4)


# --- settings


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
def test_a_weight_that_leaves_no_mixture_is_refused(weight):
    with pytest.raises(UserError, match=rf"divergence_weight is {weight}; it must be above 0 and below 1"):
        DistillSettings(divergence="jensen_shannon", divergence_weight=weight)


def test_an_unknown_divergence_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"divergence is 'revers_kl'; .* \(did you mean 'reverse_kl'\?\)"):
        DistillSettings(divergence="revers_kl")
