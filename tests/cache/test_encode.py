"""Quantised states, sampled ids and entropies against their definitions and the bounds that follow from them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from palenka_tune.cache import encode
from palenka_tune.cache.encode import dequantise, entropy, quantise, systematic_sample, to_float16
from palenka_tune.errors import PalenkaError

INF = float("inf")
SIX_SIGMA = 6.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frequencies(ids_NK: Tensor, vocabulary: int) -> Tensor:
    """(N,V) counts of each id in each row."""
    counts = torch.zeros(len(ids_NK), vocabulary, dtype=torch.int64)
    return counts.scatter_add_(1, ids_NK, torch.ones_like(ids_NK))


# --- states


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 300.0])
def test_quantised_states_are_within_half_a_scale(dtype: torch.dtype, spread: float) -> None:
    states = (torch.randn(7, 5, 33, generator=seeded()) * spread).to(dtype)
    codes, scale = quantise(states)
    assert (codes.dtype, scale.dtype, codes.shape, scale.shape) == (torch.int8, torch.float32, (7, 5, 33), (7, 5))
    assert torch.equal(codes.abs().amax(-1), torch.full((7, 5), 127, dtype=torch.int8))
    error = (states.double() - dequantise(codes, scale).double()).abs()
    # besides rounding to a code, float32 rounds the quotient and the product: 127 · 2⁻²³ of a scale each at most
    assert (error <= scale[..., None].double() * (0.5 + 2 * 127 * 2**-23)).all()
    assert error.max() > 0.4 * scale.min()


def test_quantised_extremes() -> None:
    states = torch.tensor([[0.0, 0.0, 0.0], [0.0, -1e5, 0.0], [1e-44, 2e-44, -3e-44], [3e38, -3e38, 1.0]])
    codes, scale = quantise(states)
    assert codes[0].tolist() == [0, 0, 0]
    assert codes[1].tolist() == [0, -127, 0]
    assert codes[3].tolist() == [127, -127, 0]
    restored = dequantise(codes, scale)
    assert restored.isfinite().all()
    assert torch.equal(restored[0], states[0])
    assert torch.allclose(restored[1], states[1])
    assert torch.allclose(restored[2], states[2], atol=1e-42)


@pytest.mark.parametrize(("bad", "words"), [(float("nan"), "NaN"), (INF, "infinite"), (-INF, "infinite")])
def test_states_that_are_no_numbers_are_refused(bad: float, words: str) -> None:
    states = torch.zeros(2, 3, 4)
    states[1, 2, 3] = bad
    with pytest.raises(PalenkaError, match=f"states of llama hold {words}.*check the teacher"):
        quantise(states, "states of llama")


def test_float16_names_the_largest_value() -> None:
    values = torch.randn(4, 5, generator=seeded())
    assert torch.equal(to_float16(values), values.half())
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(to_float16(values.to(dtype)), values.to(dtype).half())
    assert to_float16(torch.tensor([65504.0, -65504.0])).isfinite().all()
    assert to_float16(torch.zeros(0, 5)).shape == (0, 5)
    values[2, 3] = -123456.0
    with pytest.raises(PalenkaError, match=r"layer 3 reach 1\.235e\+05, beyond .* 65504; use the int8 encoding"):
        to_float16(values, "layer 3")
    values[0, 0] = float("nan")
    with pytest.raises(PalenkaError, match="layer 3 hold NaN"):
        to_float16(values, "layer 3")


# --- sampled ids


@pytest.mark.parametrize(("vocabulary", "samples", "spread"), [(50, 12, 2.0), (7, 64, 1.0), (3000, 5, 4.0)])
def test_every_count_is_floor_or_ceil_of_its_share(vocabulary: int, samples: int, spread: float) -> None:
    log_probs = torch.log_softmax(torch.randn(200, vocabulary, generator=seeded()) * spread, -1)
    ids = systematic_sample(log_probs, samples, seeded(1))
    assert (ids.dtype, ids.shape) == (torch.int64, (200, samples))
    assert (ids.diff(dim=1) >= 0).all()
    share = log_probs.double().softmax(-1) * samples
    counts = frequencies(ids, vocabulary)
    assert (counts >= (share - 1e-5).floor()).all()  # 1e-5: rounding of the float32 input
    assert (counts <= (share + 1e-5).ceil()).all()


def test_frequencies_are_unbiased_and_vary_less_than_independent_draws() -> None:
    vocabulary, samples, draws = 40, 6, 40_000
    log_probs = torch.log_softmax(torch.randn(vocabulary, generator=seeded(3)) * 2, -1)
    q = log_probs.double().exp()
    ids = systematic_sample(log_probs.expand(draws, -1), samples, seeded(4))
    frequency = frequencies(ids, vocabulary).double() / samples
    # a count is ⌊Kq⌋ plus a Bernoulli variable of the fractional part f, so var(count / K) = f (1 − f) / K²
    fractional = (q * samples) % 1
    variance = fractional * (1 - fractional) / samples**2
    # Bernstein: the mean of M steps of size 1/K leaves s·σ/√M + s²/(3 K M) with probability below 2 exp(−s²/2)
    bound = SIX_SIGMA * (variance / draws).sqrt() + SIX_SIGMA**2 / (3 * samples * draws) + 1e-6
    assert ((frequency.mean(0) - q).abs() <= bound).all()
    assert torch.allclose(frequency.var(0), variance, rtol=0.1, atol=2e-5)
    independent = torch.multinomial(q.expand(draws, -1), samples, replacement=True, generator=seeded(5))
    spread = (frequencies(independent, vocabulary).double() / samples).var(0)
    assert frequency.var(0).sum() < 0.8 * spread.sum()
    likely = q > 1 / samples
    assert likely.any()
    assert (frequency.var(0)[likely] < 0.6 * spread[likely]).all()


def test_impossible_tokens_are_never_drawn_and_certain_ones_always() -> None:
    one_hot = torch.full((1000, 9), -INF)
    one_hot[:, 8] = 0.0
    one_hot[::2] = one_hot[::2].roll(1, 1)  # at either end of the cumulative distribution
    ids = systematic_sample(one_hot, 12, seeded())
    assert torch.equal(ids, one_hot.argmax(1, keepdim=True).expand(-1, 12))
    gaps = torch.tensor([-INF, math.log(0.5), -INF, -INF, math.log(0.5), -INF]).expand(1000, -1)
    assert set(systematic_sample(gaps, 5, seeded()).unique().tolist()) == {1, 4}


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
def test_the_ends_of_the_uniform_stay_inside(u: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *size, dtype, **_: torch.full(size, u, dtype=dtype))
    log_probs = torch.tensor([[-INF, -1.0, -2.0, -3.0, -INF]])
    ids = systematic_sample(log_probs, 7, seeded())
    assert ids.min() == 1
    assert ids.max() == (3 if u else 2)


def test_tiny_probabilities_appear_as_often_as_they_should() -> None:
    rows, samples, tiny, tokens = 20_000, 10, 1e-6, 500
    q = torch.full((tokens + 1,), tiny, dtype=torch.float64)
    q[-1] = 1 - tokens * tiny  # after all the tiny ones, and before them in the flipped row
    for log_probs, common in ((q.log(), tokens), (q.flip(0).log(), 0)):
        ids = systematic_sample(log_probs.float().expand(rows, -1), samples, seeded(8))
        rare = int((ids != common).sum())
        expected = rows * samples * tokens * tiny
        assert abs(rare - expected) < SIX_SIGMA * math.sqrt(expected)


def test_the_same_generator_draws_the_same_ids_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs = torch.log_softmax(torch.randn(100, 30, generator=seeded()), -1)
    ids = systematic_sample(log_probs, 8, seeded(1))
    entropies = entropy(log_probs)
    assert not torch.equal(ids, systematic_sample(log_probs, 8, seeded(2)))
    for elements in (1, 7 * 30, 2**20):
        monkeypatch.setattr(encode, "BLOCK_ELEMENTS", elements)
        assert torch.equal(ids, systematic_sample(log_probs, 8, seeded(1)))
        assert torch.allclose(entropies, entropy(log_probs))
    generator = seeded(1)
    halves = torch.cat([systematic_sample(part, 8, generator) for part in log_probs.split(50)])
    assert torch.equal(ids, halves)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_and_rows_that_are_not_normalised(dtype: torch.dtype) -> None:
    logits = torch.randn(50, 20, generator=seeded()).to(dtype)
    ids = systematic_sample(logits, 4, seeded(1))
    assert torch.equal(ids, systematic_sample(logits.double().log_softmax(-1), 4, seeded(1)))
    assert ids.to(torch.uint16).dtype == torch.uint16


def test_what_cannot_be_sampled_is_refused() -> None:
    good = torch.zeros(3, 4)
    for row in (torch.full((4,), -INF), torch.tensor([0.0, float("nan"), 0.0, 0.0])):
        with pytest.raises(PalenkaError, match="check the teacher"):
            systematic_sample(torch.cat([good, row[None]]), 2, seeded())
    with pytest.raises(ValueError, match="samples=0"):
        systematic_sample(good, 0, seeded())
    assert systematic_sample(torch.zeros(0, 4), 2, seeded()).shape == (0, 2)


# --- entropy


def test_entropy_is_its_definition() -> None:
    log_probs = torch.log_softmax(torch.randn(20, 700, generator=seeded()) * 3, -1)
    log_probs[0] = -INF
    log_probs[0, 5] = 0.0  # one hot
    log_probs[1] = -math.log(700)  # uniform
    log_probs[2] = torch.where(torch.arange(700) < 2, -math.log(2), -INF)
    result = entropy(log_probs)
    assert result.dtype == torch.float32
    for row, value in zip(log_probs.double().tolist(), result.tolist(), strict=True):
        definition = -math.fsum(math.exp(x) * x for x in row if x > -INF)
        assert value == pytest.approx(definition, rel=1e-5, abs=1e-6)
    assert result[0] == 0
    half = entropy(log_probs.to(torch.float16))
    assert half.dtype == torch.float32
    assert torch.allclose(half, result, rtol=0.01, atol=1e-3)
    assert entropy(torch.zeros(0, 4)).shape == (0,)
