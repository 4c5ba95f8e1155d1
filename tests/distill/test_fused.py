"""The fused terms are those of the blocks: values and gradients, of all forms of targets."""

from __future__ import annotations

import pytest
import torch

from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.losses import logit_loss
from palenka_tune.distill.static.fused import FusedTerms
from palenka_tune.distill.targets import DenseLogits, ExactTargets, HeadLogits, LogitRequest, SampledTargets

B, T, V, D, PAD = 3, 7, 40, 8, 0


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens() -> torch.Tensor:
    made = torch.randint(1, V, (B, T), generator=torch.Generator().manual_seed(1))
    made[-1, 4:] = PAD
    return made


def teacher(width: int, seed: int, bias: bool) -> HeadLogits:
    head = OutputHead(random(V, width, seed=seed), random(V, seed=seed + 9) if bias else None)
    return HeadLogits(random(B * T, width, seed=seed + 1), head)


def targets(name: str):
    request = LogitRequest((0.3, 0.7), 2.0)
    exact = [teacher(6, 2, True), teacher(5, 3, False)]
    return {
        "none": None,
        "exact": ExactTargets(exact, request),
        "one teacher": ExactTargets([*exact], LogitRequest((1.0, 0.0), 1.5)),
        "dense": ExactTargets([DenseLogits(random(B * T, V, seed=7)), exact[1]], request),
        "reverse": ExactTargets(exact, LogitRequest((0.3, 0.7), 2.0, divergence="reverse_kl")),
        "probabilities": ExactTargets(exact, LogitRequest((0.3, 0.7), 2.0, ensemble="probabilities")),
        "sampled": SampledTargets(
            torch.randint(0, V, (B * T, 12), generator=torch.Generator().manual_seed(5)), random(B * T).abs()
        ),
    }[name]


def found(name: str, chunk_terms, reduction: str, bias: bool, alpha, dtype=torch.float32):
    hidden = random(B, T, D, seed=11).requires_grad_()
    weight = random(V, D, seed=12).requires_grad_()
    bias_V = random(V, seed=13).requires_grad_() if bias else None
    settings = {"ce_weight": 0.8, "alpha": alpha, "temperature": 2.0, "reduction": reduction}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        terms = logit_loss(
            hidden, OutputHead(weight, bias_V), tokens(), PAD, targets(name), chunk_terms=chunk_terms, **settings
        )
    (3 * terms.total).backward()
    gradients = [each.grad for each in (hidden, weight, bias_V) if each is not None]
    return [terms.total.detach(), terms.ce, *([] if terms.kl is None else [terms.kl]), *gradients]


NAMES = ["none", "exact", "one teacher", "dense", "reverse", "probabilities", "sampled"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_those_of_the_blocks(name, reduction, bias):
    blocks = found(name, None, reduction, bias, 1.7)
    fused = found(name, FusedTerms(), reduction, bias, torch.tensor(1.7))
    assert len(blocks) == len(fused)
    for left, right in zip(blocks, fused, strict=True):
        torch.testing.assert_close(right, left, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_they_are_as_far_from_float32(name):
    exact = found(name, None, "token", True, 1.7)
    for chunk_terms in (None, FusedTerms()):
        narrow = found(name, chunk_terms, "token", True, 1.7, torch.bfloat16)
        for left, right in zip(exact, narrow, strict=True):
            assert (left - right).norm() <= 2e-2 * left.norm()


@pytest.mark.parametrize("name", ["none", "exact", "sampled"])
def test_without_a_gradient_it_is_the_same_value(name):
    with torch.no_grad():
        hidden, head = random(B, T, D, seed=11), OutputHead(random(V, D, seed=12))
        values = [
            logit_loss(hidden, head, tokens(), PAD, targets(name), alpha=2.0, temperature=2.0, chunk_terms=each).total
            for each in (None, FusedTerms())
        ]
    assert values[0] == values[1]
