"""Each loss term against a slow float64 loop, and the units that the contract promises."""

from __future__ import annotations

import math

import pytest
import torch

from palenka_tune.distill import losses

B, T, V = 3, 5, 7


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, V, (B, T), generator=generator)
    tokens[-1, -2:] = 0
    student = torch.randn(B, T, V, generator=generator)
    teachers = [torch.randn(B, T, V, generator=generator) * 2 for _ in range(2)]
    return tokens, student, teachers


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def kl_loop(student, teachers, weights, mask, tau, reduction, ensemble) -> float:
    total = 0.0
    for b in range(B):
        for t in range(T):
            if not mask[b, t]:
                continue
            z = [teacher[b, t].double().tolist() for teacher in teachers]
            if ensemble == "logits":
                p = softmax([sum(w * zk[v] for w, zk in zip(weights, z, strict=True)) / tau for v in range(V)])
            else:
                each = [softmax([value / tau for value in zk]) for zk in z]
                p = [sum(w * pk[v] for w, pk in zip(weights, each, strict=True)) for v in range(V)]
            q = softmax([value / tau for value in student[b, t].double().tolist()])
            total += sum(pv * (math.log(pv) - math.log(qv)) for pv, qv in zip(p, q, strict=True))
    return tau**2 * total / (int(mask.sum()) if reduction == "token" else B)


def test_cross_entropy_is_the_mean_over_targets_that_are_not_padding(batch):
    tokens, student, _ = batch
    total, count = 0.0, 0
    for b in range(B):
        for t in range(T - 1):
            if tokens[b, t + 1] != 0:
                total -= math.log(softmax(student[b, t].double().tolist())[tokens[b, t + 1]])
                count += 1
    assert float(losses.cross_entropy(student, tokens, 0)) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
def test_kl_equals_the_loop(batch, tau, reduction, ensemble):
    tokens, student, teachers = batch
    mask, weights = tokens != 0, [0.25, 0.75]
    log_p = losses.teacher_log_probs(teachers, weights, tau, ensemble)
    value = losses.kl_divergence(student, log_p, mask, tau, reduction)
    expected = kl_loop(student, teachers, weights, mask, tau, reduction, ensemble)
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_kl_of_a_student_that_equals_its_teachers_is_zero(batch):
    _, student, _ = batch
    mask = torch.ones(B, T, dtype=torch.bool)
    log_p = losses.teacher_log_probs([student, student], [0.5, 0.5], 2.0)
    assert float(losses.kl_divergence(student, log_p, mask, 2.0)) == pytest.approx(0.0, abs=1e-6)


def test_kl_per_token_does_not_change_with_the_window_and_sequence_is_t_times_token(batch):
    _, student, teachers = batch
    values = {}
    for repeats in (1, 4):
        long = student.repeat(1, repeats, 1)
        log_p = losses.teacher_log_probs([z.repeat(1, repeats, 1) for z in teachers], [0.5, 0.5], 2.0)
        mask = torch.ones(B, T * repeats, dtype=torch.bool)
        token = float(losses.kl_divergence(long, log_p, mask, 2.0, "token"))
        sequence = float(losses.kl_divergence(long, log_p, mask, 2.0, "sequence"))
        assert sequence == pytest.approx(T * repeats * token, rel=1e-5)
        values[repeats] = token
    assert values[4] == pytest.approx(values[1], rel=1e-5)


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
