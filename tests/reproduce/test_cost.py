"""Operations against torch's own count of what runs, and tokens against tokenizers that were trained on a corpus."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

from palenka_tune.data.babytalk import write_corpus
from palenka_tune.data.babytalk.corpus import WORDS
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.distill.projections import make_projection
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.shapes import resolved_maps
from palenka_tune.errors import UserError
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import POSTER, ModelPreset, get_preset
from palenka_tune.reproduce.cost import (
    POSTER_WORDS,
    data_size,
    forward_flops,
    head_flops,
    matrix_parameters,
    projection_flops,
    rate,
    training_flops,
)
from palenka_tune.reproduce.scales import SCALES, get_scale
from palenka_tune.spaces.experiment import shape_of

V, T, B = 320, 32, 2
TEACHERS = ("GPT2-705M@tiny", "Llama-360M@tiny")


def build(preset: ModelPreset, device: str = "cpu", vocabulary: int = V) -> nn.Module:
    return build_model(
        preset, vocabulary_size=vocabulary, pad_id=0, bos_id=1, eos_id=2, window=T, seed=0, device=device
    )


@pytest.mark.parametrize("name", ["GPT2-44M@tiny", "BabyLlama1-58M@tiny", *TEACHERS])
def test_training_is_what_torch_counts(name: str) -> None:
    preset = get_preset(name)
    model = build(preset)
    model.set_attn_implementation("eager")  # torch does not count the products inside a fused attention on a CPU
    with FlopCounterMode(display=False) as counter:
        logits = model(input_ids=torch.ones(B, T, dtype=torch.long)).logits
        forward = counter.get_total_flops()
        logits.float().sum().backward()
    assert B * T * forward_flops(preset, V, T) == pytest.approx(forward, rel=0.01)
    assert B * T * training_flops(preset, V, T) == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("name", sorted(POSTER))
def test_matrices_are_those_of_the_model(name: str) -> None:
    model = build(POSTER[name], "meta", 16_000)
    matrices = [module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    assert matrix_parameters(POSTER[name], 16_000) == sum(matrices)


def test_distillation_adds_heads_and_projections() -> None:
    student, teachers = get_preset("PalenkaLlama1-58M@tiny"), [get_preset(name) for name in TEACHERS]
    with FlopCounterMode(display=False) as heads:
        for teacher in teachers:
            torch.ones(B * T, teacher.width) @ torch.ones(teacher.width, V)
    assert B * T * head_flops(teachers, V) == heads.get_total_flops()

    settings = DistillSettings(projection=ProjectionSettings(layer_map="poster"))
    maps = resolved_maps(settings, shape_of(student), tuple(shape_of(teacher) for teacher in teachers))
    with FlopCounterMode(display=False) as projections:
        for teacher, pairs in zip(teachers, maps, strict=True):
            for _ in pairs:
                state = torch.ones(B * T, student.width, requires_grad=True)
                make_projection("linear", student.width, teacher.width, seed=0)(state).sum().backward()
    assert B * T * projection_flops(student, teachers) == projections.get_total_flops()


def test_the_speed_that_is_given_wins() -> None:
    assert rate(get_scale("tiny")).device == "cpu"
    assert rate(get_scale("poster")).device == "gpu"
    given = rate(get_scale("poster"), 2.0)
    assert given.hours(2e12 * 3600) == pytest.approx(1)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="--tflops is"):
            rate(get_scale("tiny"), wrong)


def test_near_what_a_tokenizer_makes_of_a_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", words={"train": 60_000, "dev": 2_000, "test": 2_000})
    scale = get_scale("tiny")
    found = data_size(str(tmp_path / "corpus"), scale)
    prepared = prepare(
        DataSettings(str(tmp_path / "corpus"), vocabulary=scale.vocabulary, window=scale.window), tmp_path / "storage"
    )
    assert found.words == pytest.approx(prepared.store.words("train"), rel=0.1)
    assert found.tokens == pytest.approx(prepared.store.tokens("train"), rel=0.25)


def test_bytes_and_lines_of_train_are_counted(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "one.train").write_bytes(b"a line\n\n  \r\nanother one\n\n\n")
    (tmp_path / "train" / "two.train").write_bytes(b"no break at the end")
    (tmp_path / "dev.txt").write_text("not counted\n" * 1000)
    scale = get_scale("small")
    size = len(b"a line\n\n  \r\nanother one\n\n\nno break at the end")
    found = data_size(str(tmp_path), scale)
    assert found.tokens == round(size / scale.bytes_per_token + 2 * 3)
    assert f"{size} bytes in 3 lines" in found.how


def test_without_data_it_is_the_posters() -> None:
    nothing, hub = data_size(None, get_scale("poster")), data_size("owner/name", get_scale("poster"))
    assert nothing.words == hub.words == POSTER_WORDS
    assert nothing.tokens == hub.tokens
    assert 1.2 < nothing.tokens / nothing.words < 1.6
    assert nothing.how.startswith("no data was given: taken are the poster's 10,000,000 words")
    assert hub.how.startswith("owner/name is not read")


def test_babytalk_is_known_without_a_folder(tmp_path: Path) -> None:
    part = 8
    write_corpus(tmp_path, words={split: count // part for split, count in WORDS.items()})
    for scale in SCALES.values():
        found, written = data_size("babytalk", scale), data_size(str(tmp_path), scale)
        assert found.words == WORDS["train"]
        assert found.tokens == pytest.approx(part * written.tokens, rel=0.05)


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        data_size(str(tmp_path / "nothing"), get_scale("tiny"))
