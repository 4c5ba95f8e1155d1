"""Presets: the published sizes, sizes that do not fit, and the poster's models made smaller."""

from dataclasses import asdict

import pytest
from pydantic import TypeAdapter, ValidationError

from palenka_tune.errors import UserError
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import POSTER, PRESETS, SHRINKAGES, ModelPreset, divided, get_preset
from palenka_tune.models.scales import parameter_count


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("GPT2-44M", "26.7"),
        ("Llama-60M", "38.7"),
        ("GPT2-small-97M", "97.5"),
        ("GPT2-705M", "704.9"),
        ("Llama-360M", "360.0"),
        ("DistilledGPT-44M", "26.7"),
        ("BabyLlama1-58M", "58.3"),
        ("PalenkaLlama1-58M", "58.3"),
    ],
)
def test_poster_presets_have_the_published_parameter_counts(name: str, millions: str) -> None:
    assert f"{parameter_count(PRESETS[name], 16_000, window=128) / 1e6:.1f}" == millions


def test_presets_are_registered_under_their_own_names() -> None:
    assert all(name == preset.name for name, preset in PRESETS.items())
    assert PRESETS["DistilledGPT-44M"].architecture == PRESETS["GPT2-44M"].architecture
    assert PRESETS["PalenkaLlama1-58M"].architecture == PRESETS["BabyLlama1-58M"].architecture
    assert PRESETS["BabyLlama1-58M"].architecture == "Llama, d 512, ffn 1024, 16 layers, 8 heads, untied"


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'Lama-60M' \(did you mean 'Llama-60M'\?\)"):
        get_preset("Lama-60M")


GOOD = {"name": "x", "family": "llama", "width": 64, "layers": 2, "heads": 4, "ffn": 96}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 66}, "width 66 must be divisible by heads 4"),
        ({"width": 60}, "15 dimensions.*even"),
        ({"ffn": None}, "needs a feed-forward size"),
        ({"ffn": 0}, "needs a feed-forward size"),
        ({"layers": 0}, "layers is 0"),
        ({"heads": 0}, "heads is 0"),
        ({"positions": -1}, "positions is -1"),
        ({"family": "gpt2"}, "ffn is 96.*4 \\* width"),
        ({"family": "mamba"}, "one of gpt2, llama, qwen3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelPreset(**(GOOD | change))


def test_strict_when_read_from_a_configuration() -> None:
    adapter = TypeAdapter(ModelPreset)
    assert adapter.validate_python(GOOD) == ModelPreset(**GOOD)
    assert adapter.validate_python(asdict(PRESETS["GPT2-tiny"])) == PRESETS["GPT2-tiny"]
    with pytest.raises(ValidationError, match="layer\n"):
        adapter.validate_python(GOOD | {"layer": 3})


@pytest.mark.parametrize("scale", sorted(SHRINKAGES))
@pytest.mark.parametrize("name", sorted(POSTER))
def test_every_name_at_every_scale_is_a_model(name: str, scale: str) -> None:
    base, preset, by = POSTER[name], get_preset(f"{name}@{scale}"), SHRINKAGES[scale]
    assert (preset.family, preset.tied, preset.positions) == (base.family, base.tied, base.positions)
    assert preset.width * by.width == base.width
    assert (preset.ffn or 0) * by.width == (base.ffn or 0)
    assert preset.layers == max(2, base.layers // by.depth)
    assert 1 <= preset.heads <= base.heads
    assert preset.head_size * preset.heads == preset.width
    assert preset.head_size % 2 == 0
    model = build_model(preset, vocabulary_size=300, pad_id=0, bos_id=1, eos_id=2, window=64, device="meta")
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (preset.layers, preset.width)


def test_the_scale_is_in_the_name_and_at_the_poster_nothing_changes() -> None:
    assert get_preset("GPT2-705M@tiny").name == "GPT2-705M@tiny"
    assert all(get_preset(f"{name}@poster") is PRESETS[name] for name in POSTER)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("GPT2-44M@tiny", "GPT-2, d 96, 2 layers, 8 heads, tied"),
        ("GPT2-705M@tiny", "GPT-2, d 192, 6 layers, 16 heads, tied"),
        ("Llama-360M@tiny", "Llama, d 128, ffn 384, 6 layers, 8 heads, untied"),
        ("BabyLlama1-58M@tiny", "Llama, d 64, ffn 128, 4 layers, 8 heads, untied"),
        ("GPT2-705M@small", "GPT-2, d 384, 12 layers, 16 heads, tied"),
        ("PalenkaLlama1-58M@small", "Llama, d 128, ffn 256, 8 layers, 8 heads, untied"),
    ],
)
def test_sizes_by_hand(name: str, architecture: str) -> None:
    assert get_preset(name).architecture == architecture


@pytest.mark.parametrize("divisor", [1, 2, 4, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("name", ["GPT2-705M", "Llama-360M", "BabyLlama1-58M"])
def test_as_many_heads_as_their_dimensions_allow(name: str, divisor: int) -> None:
    preset = divided(POSTER[name], width=divisor, name="x")
    fitting = [count for count in range(1, POSTER[name].heads + 1) if preset.width / count % 2 == 0]
    assert preset.heads == max(fitting)
    assert preset.layers == POSTER[name].layers


def test_two_layers_are_left_where_there_were_two() -> None:
    one = ModelPreset("one", "gpt2", width=16, layers=1, heads=2)
    for layers, left in ((24, 3), (16, 2), (8, 2), (2, 2)):
        deep = ModelPreset("deep", "gpt2", width=16, layers=layers, heads=2)
        assert divided(deep, width=1, depth=8, name="x").layers == left
    assert divided(one, width=1, depth=8, name="x").layers == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("GPT2-70M@tiny", r"'GPT2-70M' is no model of the poster \(did you mean 'GPT2-705M'\?\)"),
        ("GPT2-tiny@tiny", "'GPT2-tiny' is no model of the poster"),
        ("GPT2-705M@tinny", r"no scale 'tinny' \(did you mean 'tiny'\?\)"),
        ("GPT2-705M@", r"no scale '' \(known: tiny, small, poster\)"),
        ("GPT2-705M@tiny@tiny", "no scale 'tiny@tiny'"),
        ("@tiny", "'' is no model of the poster"),
    ],
)
def test_unknown_parts_are_named(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_preset(name)


def test_a_width_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(UserError, match="768, 2048 cannot be divided by 768"):
        divided(POSTER["Llama-60M"], width=768, name="x")
