"""Memory of training, against sums by hand."""

import pytest

from palenka_tune.models.memory import inference_memory, training_memory
from palenka_tune.models.presets import ModelPreset, get_preset
from palenka_tune.models.scales import parameter_count

STUDENT = ModelPreset("student", "llama", width=32, layers=3, heads=4, ffn=48, tied=False)
TEACHER = ModelPreset("teacher", "gpt2", width=64, layers=5, heads=4)
SIZES = {"vocabulary": 300, "window": 16, "micro_batch": 8}


@pytest.mark.parametrize("online", [False, True])
def test_training_is_states_activations_logits_and_teachers(online: bool) -> None:
    states = (4 + 4 + 8) * parameter_count(STUDENT, 300, 16)
    tokens = 8 * 16
    alone = states + tokens * (3 * 4 * 300 + 2 * 34 * 32 * 3)
    teacher = 4 * parameter_count(TEACHER, 300, 16) if online else 4 * 64 * 300
    assert training_memory(STUDENT, [], **SIZES, teachers_online=online) == alone
    assert training_memory(STUDENT, [TEACHER], **SIZES, teachers_online=online) == alone + teacher + tokens * 4 * 300


def test_running_is_weights_and_hidden_states() -> None:
    weights = 4 * (parameter_count(STUDENT, 300, 16) + parameter_count(TEACHER, 300, 16))
    assert inference_memory([STUDENT, TEACHER], **SIZES) == weights + 8 * 16 * 4 * (32 * 4 + 64 * 6)


def test_the_largest_teacher_trains_in_24_gb() -> None:
    sizes = {"vocabulary": 16_000, "window": 128}
    assert training_memory(get_preset("GPT2-705M"), [], **sizes, micro_batch=32) < 24e9
    assert training_memory(get_preset("GPT2-705M"), [], **sizes, micro_batch=128) > 24e9
