from dataclasses import asdict

import pytest
from pydantic import TypeAdapter, ValidationError

from palenka_tune.errors import UserError
from palenka_tune.models.presets import PRESETS, ModelPreset, get_preset
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
        ({"family": "mamba"}, "'gpt2' or 'llama'"),
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
