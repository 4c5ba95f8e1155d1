"""The forward of the poster's architectures, at toy size."""

from dataclasses import replace

import pytest
import torch

from benchmarks import architectures
from benchmarks.architectures import default_dtype, distinct, forward, peak_memory
from palenka_tune.errors import PalenkaError
from palenka_tune.models.presets import get_preset
from palenka_tune.reproduce.rows import ROWS


def test_every_row_is_in_one_architecture() -> None:
    found = distinct()
    assert sorted(name for rows, _ in found for name in rows) == sorted(ROWS)
    assert len({replace(preset, name="") for _, preset in found}) == len(found) == 6
    assert found[-1][1] is get_preset("GPT2-705M")


@pytest.mark.parametrize("name", ["GPT2-44M@tiny", "BabyLlama1-58M@tiny"])
def test_a_model_runs_in_bfloat16(name: str) -> None:
    result = forward(("row",), get_preset(name), 300, 16)
    assert result.parameters > 100_000
    assert 0 < result.peak_bytes <= peak_memory()
    assert torch.get_default_dtype() is torch.float32


def test_logits_that_are_not_finite_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built = architectures.build_model

    def broken(*args, **kwargs):
        model = built(*args, **kwargs)
        model.transformer.ln_f.bias.data[0] = torch.inf
        return model

    monkeypatch.setattr(architectures, "build_model", broken)
    with pytest.raises(PalenkaError, match="logits are not finite"):
        forward(("row",), get_preset("GPT2-44M@tiny"), 300, 16)
    monkeypatch.setattr(architectures, "default_dtype", lambda dtype: default_dtype(torch.float32))
    with pytest.raises(PalenkaError, match=r"of torch\.float32, not"):
        forward(("row",), get_preset("GPT2-44M@tiny"), 300, 16)
