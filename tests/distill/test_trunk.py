"""The bodies of models as functions of tensors give what Hugging Face's own give, for the families that they know."""

from __future__ import annotations

import copy

import pytest
import torch

from palenka_tune.distill.heads import hidden_states_of
from palenka_tune.distill.static.trunk import trunk_of
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset
from tests.support.tiny_lm import TinyLM

WINDOW, VOCABULARY = 12, 60
PRESETS = {
    "llama": ModelPreset("a", "llama", width=32, layers=3, heads=4, ffn=48, tied=False),
    "llama, grouped": ModelPreset("b", "llama", width=32, layers=2, heads=4, kv_heads=2, ffn=48),
    "qwen3": ModelPreset("c", "qwen3", width=32, layers=3, heads=4, kv_heads=2, head_dim=12, ffn=48),
    "gpt2": ModelPreset("d", "gpt2", width=32, layers=3, heads=4),
}


def model(name: str, seed: int = 0):
    made = build_model(PRESETS[name], vocabulary_size=VOCABULARY, window=WINDOW, seed=seed)
    with torch.no_grad():
        for parameter in made.parameters():  # no norm and no bias stays at what it begins with
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made


def tokens() -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (4, WINDOW), generator=torch.Generator().manual_seed(2))


def gradients(states: tuple[torch.Tensor, ...], made: torch.nn.Module) -> list[torch.Tensor]:
    total = sum((state * torch.linspace(-1, 1, state.numel()).view_as(state)).sum() for state in states)
    body = [parameter for name, parameter in made.named_parameters() if "lm_head" not in name]
    return list(torch.autograd.grad(total, body))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("joined", [False, True])
def test_states_and_gradients_are_hugging_faces(name, joined):
    made = model(name)
    trunk = trunk_of(made, torch.float32, WINDOW, joined=joined)
    ours, theirs = trunk.states(tokens()), hidden_states_of(made, tokens())
    assert len(ours) == len(theirs) == PRESETS[name].layers + 1
    for left, right in zip(ours, theirs, strict=True):
        assert (left - right).norm() <= 1e-6 * right.norm()
    for left, right in zip(gradients(ours, made), gradients(theirs, made), strict=True):
        assert (left - right).norm() <= 1e-5 * right.norm()


@pytest.mark.parametrize("name", ["llama", "llama, grouped", "qwen3"])
def test_llamas_are_equal_bit_for_bit(name):
    made = model(name)
    with torch.no_grad():
        ours, theirs = trunk_of(made, torch.float32, WINDOW).states(tokens()), hidden_states_of(made, tokens())
    assert all(torch.equal(left, right) for left, right in zip(ours, theirs, strict=True))


def test_weights_that_change_are_seen():
    made = model("llama")
    trunk = trunk_of(made, torch.float32, WINDOW)
    before = trunk.states(tokens())[-1]
    made.load_state_dict(model("llama", seed=5).state_dict())
    assert not torch.equal(trunk.states(tokens())[-1], before)
    assert torch.equal(trunk.states(tokens())[-1], hidden_states_of(made, tokens())[-1])


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("llama", "attention_dropout", 0.1),
        ("llama", "attention_bias", True),
        ("llama", "rope_parameters", {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
        ("qwen3", "layer_types", ["full_attention", "sliding_attention", "full_attention"]),
        ("gpt2", "activation_function", "relu"),
        ("gpt2", "resid_pdrop", 0.1),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "model_type", "opt"),
    ],
)
def test_what_it_does_not_know_it_leaves(name, setting, value):
    made = model(name)
    config = copy.deepcopy(made.config)
    setattr(config, setting, value)
    stand_in = torch.nn.Module()
    stand_in.config = config
    assert trunk_of(stand_in, torch.float32, WINDOW) is None


def test_a_model_without_a_configuration_is_left():
    assert trunk_of(TinyLM(8, 2, seed=0), torch.float32, WINDOW) is None
