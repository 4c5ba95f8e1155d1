import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from palenka_tune.config.artifacts import is_complete
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import PreparedData
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.models.build import build_model, count_parameters
from palenka_tune.models.export import export_student
from palenka_tune.models.presets import ModelPreset
from palenka_tune.teachers.spec import TeacherSpec, fingerprint, open_teacher, teacher_folder

from .conftest import GPT2, LLAMA, RECIPE

SPEC = TeacherSpec(LLAMA, RECIPE, 0)


def export(preset: ModelPreset, data: PreparedData, folder: Path) -> int:
    store = data.store
    model = build_model(
        preset, vocabulary_size=store.vocabulary_size, pad_id=0, bos_id=1, eos_id=2, window=store.window, seed=0
    )
    export_student(model, data.tokenizer_dir, folder, card="a teacher")
    return count_parameters(model)


OTHER_RECIPES = {
    "lr": 0.5,
    "batch_size": 16,
    "epochs": 7.0,
    "warmup_steps": 9,
    "weight_decay": 0.7,
    "beta1": 0.5,
    "beta2": 0.6,
    "grad_clip": 3.0,
    "accumulate": 2,
    "precision": "bfloat16",
}


def test_every_field_of_a_recipe_is_tried_below() -> None:
    assert set(OTHER_RECIPES) == {field.name for field in fields(Recipe)} - {"step"}


def test_how_a_step_is_taken_shapes_nothing() -> None:
    other = replace(SPEC, recipe=replace(RECIPE, step="eager"))
    assert fingerprint(other, "data") == fingerprint(SPEC, "data")


@pytest.mark.parametrize("name", OTHER_RECIPES)
def test_a_recipe_shapes_the_fingerprint(name: str) -> None:
    other = replace(SPEC, recipe=replace(RECIPE, **{name: OTHER_RECIPES[name]}))
    assert fingerprint(other, "data") != fingerprint(SPEC, "data")


def test_so_do_preset_seed_data_and_dev_windows() -> None:
    prints = {
        fingerprint(SPEC, "data"),
        fingerprint(replace(SPEC, preset=replace(LLAMA, layers=3)), "data"),
        fingerprint(replace(SPEC, preset=replace(LLAMA, positions=512)), "data"),
        fingerprint(replace(SPEC, seed=1), "data"),
        fingerprint(SPEC, "other data"),
        fingerprint(SPEC, "data", 100),
    }
    assert len(prints) == 6


def test_numbers_that_are_equal_give_the_same_fingerprint() -> None:
    whole = replace(SPEC, recipe=replace(RECIPE, epochs=2, grad_clip=1))
    assert fingerprint(whole, "data") == fingerprint(replace(SPEC, recipe=replace(RECIPE, epochs=2.0)), "data")


def test_a_folder_is_named_by_preset_and_fingerprint(tmp_path: Path) -> None:
    folder = teacher_folder(tmp_path, SPEC, "data", None)
    assert folder == tmp_path / "artifacts" / "teachers" / f"Mini-Llama-{fingerprint(SPEC, 'data')}"
    assert not is_complete(folder)


@pytest.mark.parametrize("preset", [GPT2, LLAMA], ids=lambda preset: preset.family)
def test_a_model_folder_from_elsewhere_can_be_a_teacher(
    preset: ModelPreset, data: PreparedData, tmp_path: Path
) -> None:
    parameters = export(preset, data, tmp_path / "theirs")
    teacher = open_teacher(tmp_path / "theirs")
    assert teacher.shape == ModelShape("theirs", preset.family, preset.width, preset.layers)
    assert (teacher.name, teacher.parameters, teacher.val_ce) == ("theirs", parameters, None)
    assert "parameters" in teacher.describe()
    assert "CE" not in teacher.describe()
    # Other weights are another teacher.
    weights = tmp_path / "theirs" / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert open_teacher(tmp_path / "theirs").fingerprint != teacher.fingerprint


def test_what_is_not_a_teacher_is_refused(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a model: it has no config"):
        open_teacher(tmp_path)
    export(GPT2, data, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(UserError, match="no whole safetensors file"):
        open_teacher(tmp_path / "model")
    export(GPT2, data, tmp_path / "odd")
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "odd"}))
    with pytest.raises(UserError, match=r"\(odd\) names no hidden size"):
        open_teacher(tmp_path / "odd")
    (tmp_path / "odd" / "manifest.json").write_text(json.dumps({"kind": "cache"}))
    with pytest.raises(PalenkaError, match="is not a teacher of version"):
        open_teacher(tmp_path / "odd")
