"""Hidden states without the logits of a whole batch, and without copies of the head."""

from __future__ import annotations

import torch
from torch.profiler import profile

from palenka_tune.distill.heads import states_of
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset

VOCABULARY = 50


def test_the_head_of_a_frozen_model_is_not_copied_for_each_window() -> None:
    preset = ModelPreset(name="any", family="llama", width=16, layers=1, heads=2, ffn=32, positions=8)
    model = build_model(preset, vocabulary_size=VOCABULARY, pad_id=0, bos_id=1, eos_id=2, window=8, seed=0)
    model.eval().requires_grad_(False)
    tokens = torch.arange(24).reshape(3, 8)
    with torch.no_grad(), profile(record_shapes=True) as profiler:
        states, last = states_of(model, tokens)
    shapes = [event.input_shapes for event in profiler.events() if event.name in ("aten::bmm", "aten::copy_")]
    assert shapes
    assert [each for each in shapes if any(VOCABULARY in shape and len(shape) == 3 for shape in each)] == []
    torch.testing.assert_close(last, model(tokens).logits[:, -1:])
    assert len(states) == 2
