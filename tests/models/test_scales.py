from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from palenka_tune.errors import UserError
from palenka_tune.models.presets import PRESETS
from palenka_tune.models.scales import SCALES, Scale, get_scale, parameter_count


def test_the_poster_scale_is_the_poster() -> None:
    scale = get_scale("poster")
    assert (scale.vocabulary, scale.window, scale.dev_windows) == (16_000, 128, 8192)
    recipe = scale.student_recipe
    assert (recipe.lr, recipe.batch_size, recipe.epochs) == (2.5e-4, 32, 6)
    assert (recipe.weight_decay, recipe.warmup_steps) == (0.1, 200)
    teachers = {
        name: (recipe.lr, recipe.batch_size, recipe.epochs, recipe.warmup_steps) for name, recipe in scale.teachers
    }
    assert teachers == {"GPT2-705M": (2.5e-4, 128, 4, 300), "Llama-360M": (3e-4, 128, 4, 300)}
    assert (scale.student, *teachers) == ("BabyLlama1-58M", "GPT2-705M", "Llama-360M")


@pytest.mark.parametrize("name", sorted(SCALES))
def test_every_scale_fits_together(name: str) -> None:
    scale = SCALES[name]
    assert scale.name == name
    assert len(scale.teachers) == 2
    assert TypeAdapter(Scale).validate_python(TypeAdapter(Scale).dump_python(scale)) == scale
    assert all(PRESETS[teacher].width > PRESETS[scale.student].width for teacher, _ in scale.teachers)


def test_parameters_are_those_of_the_vocabulary_that_is_asked_for() -> None:
    # Untied embeddings, four layers of attention, gated MLP and two norms, a last norm.
    by_hand = 2 * 1000 * 64 + 4 * (4 * 64**2 + 3 * 64 * 128 + 2 * 64) + 64
    assert parameter_count(PRESETS["Student-tiny"], 1000, SCALES["tiny"].window) == by_hand


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'smal' \(did you mean 'small'\?\)"):
        get_scale("smal")
    with pytest.raises(UserError, match="did you mean 'Student-tiny'"):
        replace(SCALES["tiny"], student="Student-tinny")
    with pytest.raises(UserError, match="dev_windows is 0"):
        replace(SCALES["tiny"], dev_windows=0)
    with pytest.raises(ValidationError, match="windw"):
        TypeAdapter(Scale).validate_python(TypeAdapter(Scale).dump_python(SCALES["tiny"]) | {"windw": 3})
