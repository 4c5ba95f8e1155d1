"""Attention in bfloat16 gives what PyTorch's gives in float32, up to bfloat16's rounding, and leaves the rest to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest
import torch

from palenka_tune.models import attention
from palenka_tune.models.build import build_model
from palenka_tune.models.export import load_weights
from palenka_tune.models.presets import ModelPreset

B, H, T, S = 2, 4, 12, 8


def tensors(kv_heads: int = H) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(B, T, heads, S, generator=generator).transpose(1, 2).requires_grad_()
        for heads in (H, kv_heads, kv_heads)
    ]


class Module(torch.nn.Module):
    is_causal = True
    num_key_value_groups = 1


def run(kv_heads=H, narrow=True, mask=None, **settings):
    """Output and gradients by query, key and value."""
    module = Module()
    module.num_key_value_groups = H // kv_heads
    given = tensors(kv_heads)
    with torch.autocast("cpu", dtype=torch.bfloat16) if narrow else contextlib.nullcontext():
        out, weights = attention.attention(module, *given, mask, **settings)
    assert weights is None
    assert out.shape == (B, T, H, S)
    (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach().float(), *(each.grad for each in given)]


@pytest.fixture
def calls(monkeypatch):
    """How often the bfloat16 form runs."""
    seen = []
    plain = attention._Causal.apply
    monkeypatch.setattr(attention._Causal, "apply", lambda *args: seen.append(args[0].shape) or plain(*args))
    return seen


@pytest.mark.parametrize("kv_heads", [H, 2, 1])
@pytest.mark.parametrize("scaling", [None, 0.1])
def test_output_and_gradients_are_those_of_float32(kv_heads, scaling, calls):
    exact = run(kv_heads, narrow=False, scaling=scaling)
    assert not calls
    narrow = run(kv_heads, scaling=scaling)
    assert calls
    for left, right in zip(exact, narrow, strict=True):
        assert (left - right).norm() / left.norm() < 1e-2


def test_no_position_sees_a_later_one(calls):
    query, key, value = (each.detach() for each in tensors())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before, _ = attention.attention(Module(), query, key, value, None)
        key[:, :, 7:], value[:, :, 7:] = 9.0, 9.0
        after, _ = attention.attention(Module(), query, key, value, None)
    assert len(calls) == 2
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize(
    "settings",
    [{"mask": torch.ones(T, T, dtype=torch.bool).tril()}, {"dropout": 0.5}, {"is_causal": False}, {"narrow": False}],
)
def test_what_is_not_plain_causal_attention_is_left_to_pytorch(settings, calls):
    run(**settings)
    assert not calls


def test_weights_that_would_fill_the_memory_are_not_made(monkeypatch, calls):
    monkeypatch.setattr(attention, "MOST_WEIGHTS", B * H * T * T - 1)
    run()
    assert not calls


PRESETS = [
    ModelPreset("own-gpt2", "gpt2", width=16, layers=2, heads=2),
    ModelPreset("own-llama", "llama", width=16, layers=2, heads=4, kv_heads=2, ffn=32, tied=False),
    ModelPreset("own-qwen3", "qwen3", width=16, layers=2, heads=4, kv_heads=2, head_dim=8, ffn=32),
]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.family)
def test_models_go_through_it_and_their_files_do_not_tell(preset, calls, tmp_path):
    model = build_model(dataclasses.replace(preset), vocabulary_size=50, window=T, seed=0)
    tokens = torch.randint(3, 50, (B, T), generator=torch.Generator().manual_seed(1))
    exact = model(tokens).logits
    assert not calls
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = model(tokens).logits
    assert len(calls) == preset.layers
    assert (exact - narrow).norm() / exact.norm() < 2e-2
    model.save_pretrained(tmp_path)
    assert attention.NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    loaded = load_weights(tmp_path)
    assert torch.equal(loaded(tokens).logits, exact)
    assert loaded.config._attn_implementation == attention.NAME


def test_a_model_with_another_attention_keeps_it():
    model = build_model(PRESETS[1], vocabulary_size=50, window=T, seed=0)
    model.set_attn_implementation("eager")
    attention.quick_attention(model)
    assert model.config._attn_implementation == "eager"
