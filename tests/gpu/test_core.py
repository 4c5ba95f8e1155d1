"""Losses, the training loop and minimal-pair scores on a GPU against the same on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.loop import TrainingLoop, load_checkpoint, save_checkpoint
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.signals import OnlineSource
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset
from tests.support.sentences import score_sentences
from tests.support.tiny_lm import PAD, STUDENT, TEACHERS, TinyLM, windows

SETTINGS = {
    "plain": DistillSettings(alpha=0, beta=0),
    "logits": DistillSettings(alpha=1, beta=0, temperature=2),
    "reduced": DistillSettings(alpha=1, beta=3, projection=ProjectionSettings(rank=8), beta_schedule="cosine_decay"),
    "orthogonal": DistillSettings(alpha=1, beta=1, projection=ProjectionSettings(kind="orthogonal")),
    "mlp": DistillSettings(beta=1, projection=ProjectionSettings(direction="teacher_to_student", kind="mlp")),
}
STEPS = 12


def loop(settings: DistillSettings, device: str, precision: str) -> TrainingLoop:
    teachers = [TinyLM(shape.width, shape.depth, seed=10 + i).to(device) for i, shape in enumerate(TEACHERS)]
    source = OnlineSource(teachers, TEACHERS, windows(40, 1), PAD)
    return TrainingLoop(
        TinyLM(STUDENT.width, STUDENT.depth, seed=5).to(device),
        DistillationObjective(settings, STUDENT, source, total_steps=STEPS, pad_id=PAD, seed=0),
        windows(96, 2),
        windows(24, 3),
        Recipe(lr=1e-2, batch_size=8, warmup_steps=2, precision=precision),
        pad_id=PAD,
        seed=0,
        total_steps=STEPS,
    )


def trained(settings: DistillSettings, device: str, precision: str) -> dict[str, float]:
    made = loop(settings, device, precision)
    made.run_until(STEPS)
    return made.validate(teachers=True)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("bfloat16", 2e-2), ("float16", 1e-2)])
def test_a_student_trains_as_on_the_cpu(name: str, precision: str, tolerance: float) -> None:
    """Every term of the loss after 12 steps, in each precision, relative to float32 on the CPU."""
    reference = trained(SETTINGS[name], "cpu", "float32")
    measured = trained(SETTINGS[name], "cuda", precision)
    assert measured.keys() == reference.keys()
    for term, value in reference.items():
        assert measured[term] == pytest.approx(value, rel=tolerance, abs=tolerance), term


def test_auto_is_bfloat16_with_float32_weights() -> None:
    made = loop(SETTINGS["reduced"], "cuda", "auto")
    made.run_until(2)
    assert made.dtype is (torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}
    assert all(bool(p.abs().sum() > 0) for p in made.objective.parameters())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_stop_and_resume_on_a_gpu_gives_the_same_as_no_stop(precision: str, tmp_path) -> None:
    whole = loop(SETTINGS["reduced"], "cuda", precision)
    whole.run_until(STEPS)
    first = loop(SETTINGS["reduced"], "cuda", precision)
    first.run_until(5)
    save_checkpoint(first.state_dict(), tmp_path / "checkpoint.pt")
    second = loop(SETTINGS["reduced"], "cuda", precision)
    second.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    second.run_until(STEPS)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_sentences_score_as_on_the_cpu(family: str) -> None:
    fields = {"width": 32, "layers": 2, "heads": 4}
    preset = ModelPreset("one", family, **fields, **({"ffn": 48, "tied": False} if family == "llama" else {}))
    model = build_model(preset, vocabulary_size=320, pad_id=0, bos_id=1, eos_id=2, window=32, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    draw = np.random.default_rng(4)
    sentences = [draw.integers(3, 320, size).tolist() for size in draw.choice([1, 2, 5, 9, 14, 30], 200)]
    reference = score_sentences(model, sentences)
    np.testing.assert_allclose(score_sentences(model.to("cuda"), sentences), reference, rtol=0, atol=2e-3)
