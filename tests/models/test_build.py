import pytest
import torch

from palenka_tune.errors import UserError
from palenka_tune.models import attention
from palenka_tune.models.build import build_model, count_parameters
from palenka_tune.models.presets import PRESETS, ModelPreset

IDS = {"vocabulary_size": 97, "pad_id": 0, "bos_id": 1, "eos_id": 2}
LLAMA = ModelPreset("llama", "llama", width=32, layers=3, heads=4, ffn=48, tied=False)
GPT2 = ModelPreset("gpt2", "gpt2", width=32, layers=3, heads=4)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("preset", [LLAMA, GPT2], ids=lambda preset: preset.family)
def test_the_seed_alone_decides_the_weights(preset: ModelPreset) -> None:
    torch.manual_seed(11)
    expected_draw = torch.rand(3)
    torch.manual_seed(11)
    first = build_model(preset, **IDS, window=16, seed=5)
    assert torch.equal(torch.rand(3), expected_draw), "building with a seed must not move the global generator"
    second = build_model(preset, **IDS, window=16, seed=5)
    other = build_model(preset, **IDS, window=16, seed=6)
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_without_a_seed_the_global_generator_decides() -> None:
    torch.manual_seed(3)
    first = build_model(LLAMA, **IDS, window=16)
    second = build_model(LLAMA, **IDS, window=16)
    torch.manual_seed(3)
    assert same_weights(first, build_model(LLAMA, **IDS, window=16))
    assert not same_weights(first, second)


@pytest.mark.parametrize("preset", [LLAMA, GPT2], ids=lambda preset: preset.family)
def test_training_mode_has_no_dropout_no_cache_and_sdpa(preset: ModelPreset) -> None:
    model = build_model(preset, **IDS, window=16, seed=0)
    ids = torch.arange(3, 19).view(2, 8)
    output = model(ids, output_hidden_states=True)
    assert model.training
    assert torch.equal(output.logits, model(ids).logits), "a second pass in training mode differs: dropout is on"
    assert output.past_key_values is None
    assert model.config._attn_implementation == attention.NAME
    assert len(output.hidden_states) == model.config.num_hidden_layers + 1 == 4
    assert output.hidden_states[0].shape[-1] == model.config.hidden_size == 32


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_builds_with_its_sizes(name: str) -> None:
    preset = PRESETS[name]
    model = build_model(preset, **IDS, window=200, device="meta")
    assert model.device.type == "meta"
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (preset.layers, preset.width)
    assert model.config.max_position_embeddings == 400
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == preset.tied


def test_positions_are_twice_the_window_or_the_preset() -> None:
    for window, positions in ((16, 256), (128, 256), (129, 258)):
        assert build_model(GPT2, **IDS, window=window, device="meta").config.n_positions == positions


def test_count_is_the_same_on_meta_and_counts_tied_weights_once() -> None:
    real = build_model(GPT2, **IDS, window=16, seed=0)
    # Embeddings of tokens and positions, then per layer 12 D^2 + 13 D, then the last layer norm.
    by_hand = 97 * 32 + 256 * 32 + 3 * (12 * 32**2 + 13 * 32) + 2 * 32
    assert count_parameters(real) == count_parameters(build_model(GPT2, **IDS, window=16, device="meta")) == by_hand


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eos_id": 97}, "eos_id 97 lies outside the vocabulary of 97"),
        ({"pad_id": -1}, "pad_id -1"),
        ({"window": 0}, "window 0"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_model(LLAMA, **(IDS | {"window": 16} | change), device="meta")
