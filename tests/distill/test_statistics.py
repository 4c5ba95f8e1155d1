"""Principal components of hidden states, and what centring, rank and whitening do to targets."""

from __future__ import annotations

import pytest
import torch

from palenka_tune.distill.projections import TargetTransform
from palenka_tune.distill.settings import ProjectionSettings
from palenka_tune.distill.statistics import fit_statistics

N, E = 600, 6


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])
    rotation = torch.linalg.qr(torch.randn(E, E, generator=generator)).Q
    return (torch.randn(1, N, E, generator=generator) * scale) @ rotation + 7.0


def fit(states, parts=1):
    chunks = [(torch.ones(1, len(part)), {2: part[None]}) for part in states[0].tensor_split(parts)]
    return fit_statistics(iter(chunks), pad_id=0)[2]


def test_mean_components_and_variances_are_those_of_an_svd(states):
    fitted = fit(states)
    centred = states[0].double() - states[0].double().mean(0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    assert torch.allclose(fitted.mean.double(), states[0].double().mean(0), atol=1e-5)
    assert torch.allclose(fitted.variances.double(), singular**2 / N, rtol=1e-4)
    overlap = (fitted.components.double().T @ directions.T).abs()
    assert torch.allclose(overlap, torch.eye(E, dtype=torch.double), atol=1e-3)
    assert fitted.explained(E) == pytest.approx(1.0)
    assert 0.5 < fitted.explained(1) < fitted.explained(3) < 1


def test_chunks_do_not_matter_and_padding_is_left_out(states):
    whole, parts = fit(states), fit(states, parts=7)
    assert torch.allclose(whole.components, parts.components, atol=1e-4)
    tokens = torch.ones(1, N)
    tokens[0, -100:] = 0
    padded = states.clone()
    padded[0, -100:] = 1e4
    short = fit_statistics(iter([(tokens, {2: padded})]), pad_id=0)[2]
    assert torch.allclose(short.mean, fit(states[:, :-100]).mean, atol=1e-5)


def test_rank_centres_and_keeps_the_leading_components(states):
    target = TargetTransform(ProjectionSettings(rank=2), fit(states))(states)
    assert target.shape == (1, N, 2)
    assert torch.allclose(target.mean(1), torch.zeros(1, 2), atol=1e-4)
    assert torch.allclose(target[0].var(0), fit(states).variances[:2], rtol=0.02)


def test_whitening_makes_all_variances_one(states):
    target = TargetTransform(ProjectionSettings(normalize="whiten"), fit(states))(states)
    assert torch.allclose(target[0].T @ target[0] / N, torch.eye(E), atol=0.03)


def test_center_subtracts_the_mean_and_nothing_else(states):
    target = TargetTransform(ProjectionSettings(center=True), fit(states))(states)
    assert torch.allclose(target, states - states.mean(1), atol=1e-4)
    assert torch.equal(TargetTransform(ProjectionSettings(), None)(states), states)
