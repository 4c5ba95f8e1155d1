"""Each loss term against a slow float64 loop, the gradient against autograd on the formula as it is written, and the
units that the contract promises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from benchmarks.plain import plain_loss
from palenka_tune.distill import losses
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.targets import DenseLogits, ExactTargets, HeadLogits, LogitRequest, SampledTargets

B, T, V, D = 3, 5, 40, 6
WIDTHS = (8, 5)
WEIGHTS = (0.25, 0.75)


@dataclass
class Case:
    """A student and two teachers as last hidden states and heads; one window is padded."""

    tokens: Tensor
    hidden: Tensor
    head: OutputHead
    states: list[Tensor]
    heads: list[OutputHead]

    @property
    def student(self) -> Tensor:
        return self.hidden @ self.head.weight.T + self.head.bias

    @property
    def teachers(self) -> list[Tensor]:
        return [
            h @ head.weight.T + (0 if head.bias is None else head.bias)
            for h, head in zip(self.states, self.heads, strict=True)
        ]

    def targets(self, temperature: float, ensemble: str = "logits", form: str = "head") -> ExactTargets:
        request = LogitRequest(WEIGHTS, temperature, ensemble)
        if form == "dense":
            return ExactTargets([DenseLogits(z.flatten(0, 1)) for z in self.teachers], request)
        pairs = zip(self.states, self.heads, strict=True)
        return ExactTargets([HeadLogits(h.flatten(0, 1), head) for h, head in pairs], request)

    def loss(self, targets=None, **settings) -> losses.LogitTerms:
        return losses.logit_loss(self.hidden, self.head, self.tokens, 0, targets, **settings)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of 10 and 5 positions, in blocks of 8 and fewer, instead of one."""
    monkeypatch.setitem(losses.CHUNK_ELEMENTS, "cpu", 10 * V)
    monkeypatch.setitem(losses.BLOCK_ELEMENTS, "cpu", V)


@pytest.fixture
def case() -> Case:
    g = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, V, (B, T), generator=g)
    tokens[-1, -2:] = 0

    def head(width: int, bias: bool) -> OutputHead:
        return OutputHead(torch.randn(V, width, generator=g), torch.randn(V, generator=g) if bias else None)

    student = head(D, True)
    student.weight.requires_grad_()
    student.bias.requires_grad_()
    return Case(
        tokens,
        torch.randn(B, T, D, generator=g).requires_grad_(),
        student,
        [torch.randn(B, T, width, generator=g) for width in WIDTHS],
        [head(WIDTHS[0], False), head(WIDTHS[1], True)],
    )


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def kl_loop(case: Case, tau: float, reduction: str, ensemble: str) -> float:
    total = 0.0
    mask = case.tokens != 0
    for b in range(B):
        for t in range(T):
            if not mask[b, t]:
                continue
            z = [teacher[b, t].double().tolist() for teacher in case.teachers]
            if ensemble == "logits":
                q = softmax([sum(w * zk[v] for w, zk in zip(WEIGHTS, z, strict=True)) / tau for v in range(V)])
            else:
                each = [softmax([value / tau for value in zk]) for zk in z]
                q = [sum(w * qk[v] for w, qk in zip(WEIGHTS, each, strict=True)) for v in range(V)]
            p = softmax([value / tau for value in case.student[b, t].double().tolist()])
            total += sum(qv * (math.log(qv) - math.log(pv)) for qv, pv in zip(q, p, strict=True))
    return tau**2 * total / (int(mask.sum()) if reduction == "token" else B)


def test_cross_entropy_is_the_mean_over_targets_that_are_not_padding(case):
    total, count = 0.0, 0
    for b in range(B):
        for t in range(T - 1):
            if case.tokens[b, t + 1] != 0:
                total -= math.log(softmax(case.student[b, t].double().tolist())[case.tokens[b, t + 1]])
                count += 1
    terms = case.loss()
    assert float(terms.ce) == pytest.approx(total / count, rel=1e-5)
    assert float(terms.total.detach()) == float(terms.ce)
    assert terms.kl is None


@pytest.mark.parametrize("form", ["head", "dense"])
@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
def test_kl_equals_the_loop(case, tau, reduction, ensemble, form):
    targets = case.targets(tau, ensemble, form)
    terms = case.loss(targets, alpha=0.5, temperature=tau, reduction=reduction)
    assert float(terms.kl) == pytest.approx(kl_loop(case, tau, reduction, ensemble), rel=1e-4)
    assert float(terms.total.detach()) == pytest.approx(float(terms.ce) + 0.5 * float(terms.kl), rel=1e-6)


@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(("alpha", "ce_weight"), [(0.0, 1.0), (0.7, 1.0), (0.7, 0.3), (0.7, 0.0)])
def test_the_gradient_is_that_of_the_formula(case, alpha, ce_weight, tau, reduction, ensemble):
    parameters = [case.hidden, case.head.weight, case.head.bias]
    settings = {"alpha": alpha, "ce_weight": ce_weight, "temperature": tau, "reduction": reduction}
    targets = case.targets(tau, ensemble) if alpha else None
    total = case.loss(targets, **settings).total * 3.0  # as a loss scaler or a share of a batch would
    found = torch.autograd.grad(total, parameters)
    exact = [p.detach().double().requires_grad_() for p in parameters]
    student = exact[0] @ exact[1].T + exact[2]
    teachers = [z.double() for z in case.teachers]
    plain = plain_loss(student, case.tokens, 0, teachers, list(WEIGHTS), ensemble=ensemble, **settings)[0] * 3.0
    for ours, reference in zip(found, torch.autograd.grad(plain, exact), strict=True):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-4, atol=1e-6)


def test_without_autograd_the_same_values(case):
    targets = case.targets(2.0)
    with_gradient = case.loss(targets, alpha=1.0, temperature=2.0)
    with torch.no_grad():
        without = case.loss(targets, alpha=1.0, temperature=2.0)
    assert (float(without.ce), float(without.kl)) == (float(with_gradient.ce), float(with_gradient.kl))
    assert not without.total.requires_grad


def test_cross_entropy_does_not_depend_on_what_else_is_asked_for(case):
    values = {float(case.loss().ce), float(case.loss(ce_weight=0.5).ce)}
    for tau in (1.0, 2.0):
        values.add(float(case.loss(case.targets(tau), alpha=3.0, temperature=tau).ce))
    assert len(values) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_changes_values_and_gradients_by_its_rounding_only(case, dtype):
    def run() -> tuple[float, list[Tensor]]:
        terms = case.loss(case.targets(2.0), alpha=1.0, temperature=2.0)
        return float(terms.total.detach()), list(torch.autograd.grad(terms.total, [case.hidden, case.head.weight]))

    exact, exact_gradients = run()
    with torch.autocast("cpu", dtype=dtype):
        half, half_gradients = run()
    assert half == pytest.approx(exact, rel=2e-2)
    for ours, reference in zip(half_gradients, exact_gradients, strict=True):
        assert ours.dtype is torch.float32
        assert torch.cosine_similarity(ours.flatten(), reference.flatten(), dim=0) > 0.999


def test_a_batch_of_padding_is_worth_nothing_and_moves_nothing(case):
    case.tokens.zero_()
    terms = case.loss(case.targets(2.0), alpha=1.0, temperature=2.0)
    assert float(terms.total.detach()) == 0.0
    assert all(not gradient.any() for gradient in torch.autograd.grad(terms.total, [case.hidden, case.head.weight]))


def test_kl_of_a_student_that_equals_its_teachers_is_zero(case):
    same = ExactTargets([DenseLogits(case.student.detach().flatten(0, 1))], LogitRequest((1.0,), 2.0))
    assert float(case.loss(same, alpha=1.0, temperature=2.0).kl) == pytest.approx(0.0, abs=1e-6)


def test_kl_per_token_does_not_change_with_the_window_and_sequence_is_t_times_token(case):
    case.tokens = case.tokens.clamp_min(1)  # no padding
    values = {}
    for repeats in (1, 4):
        long = Case(
            case.tokens.repeat(1, repeats),
            case.hidden.repeat(1, repeats, 1),
            case.head,
            [states.repeat(1, repeats, 1) for states in case.states],
            case.heads,
        )
        token, sequence = (
            float(long.loss(long.targets(2.0), alpha=1.0, temperature=2.0, reduction=reduction).kl)
            for reduction in ("token", "sequence")
        )
        assert sequence == pytest.approx(T * repeats * token, rel=1e-5)
        values[repeats] = token
    assert values[4] == pytest.approx(values[1], rel=1e-5)


def test_samples_that_have_every_id_in_proportion_give_the_exact_gradient(case):
    """Probabilities that are multiples of 1/K: K samples then hold the whole distribution."""
    counts = torch.tensor([4, 2, 1, 1])
    q = torch.full((B * T, V), 1e-30)
    q[:, : len(counts)] = counts / 8.0
    ids = torch.arange(len(counts)).repeat_interleave(counts).expand(B * T, 8)
    entropy = torch.full((B * T,), float(-(counts / 8 * (counts / 8).log()).sum()))
    exact = ExactTargets([DenseLogits(2.0 * q.log())], LogitRequest((1.0,), 2.0))
    settings = {"alpha": 1.0, "temperature": 2.0}
    ours, reference = case.loss(SampledTargets(ids, entropy), **settings), case.loss(exact, **settings)
    assert float(ours.kl) == pytest.approx(float(reference.kl), rel=1e-4)
    for left, right in zip(
        torch.autograd.grad(ours.total, [case.hidden]), torch.autograd.grad(reference.total, [case.hidden]), strict=True
    ):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("distance", ["mse", "cosine"])
def test_hidden_distance_equals_the_loop(distance):
    generator = torch.Generator().manual_seed(1)
    prediction, target = (torch.randn(2, 3, 4, generator=generator) for _ in range(2))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    total = 0.0
    for b in range(2):
        for t in range(3):
            if not mask[b, t]:
                continue
            p, q = prediction[b, t].double().tolist(), target[b, t].double().tolist()
            if distance == "mse":
                total += sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) / 4
            else:
                norm = math.sqrt(sum(x * x for x in p)) * math.sqrt(sum(y * y for y in q))
                total += 1 - sum(x * y for x, y in zip(p, q, strict=True)) / norm
    assert float(losses.hidden_distance(prediction, target, mask, distance)) == pytest.approx(total / 4, rel=1e-5)
