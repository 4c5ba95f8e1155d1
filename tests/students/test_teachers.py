"""Which teachers an experiment needs, and what does not make another teacher."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from palenka_tune.spaces.resolve import resolve
from palenka_tune.students.teachers import missing_teachers, teacher_dev_windows, teacher_folder, teacher_specs
from palenka_tune.teachers.spec import TeacherSpec

DATA = SimpleNamespace(fingerprint="0123456789abcdef")


def needed(tmp_path, *assignments) -> list[TeacherSpec]:
    return missing_teachers(resolve("dskd", assignments=assignments).experiment, DATA, tmp_path)


def test_both_teachers_of_the_scale_are_needed_at_first(tmp_path):
    assert [spec.preset.name for spec in needed(tmp_path)] == ["GPT2-tiny", "Llama-tiny"]


@pytest.mark.parametrize("name", ["seed", "student.dev_windows", "student.train_windows", "recipe.lr", "beta"])
def test_the_students_settings_need_no_other_teacher(tmp_path, name):
    folders = []
    for experiment in (resolve("dskd").experiment, resolve("dskd", assignments=[(name, 7)]).experiment):
        dev = teacher_dev_windows(experiment)
        folders.append([teacher_folder(tmp_path, spec, DATA.fingerprint, dev) for spec in teacher_specs(experiment)])
    assert folders[0] == folders[1]


def test_the_seed_and_the_recipe_make_another_teacher(tmp_path):
    assert needed(tmp_path)[0] != needed(tmp_path, ("teachers", [{"preset": "GPT2-tiny", "seed": 1}]))[0]
    other = needed(tmp_path, ("teachers", [{"preset": "GPT2-tiny", "recipe": {"epochs": 2}}]))
    assert other[0] != needed(tmp_path)[0]
