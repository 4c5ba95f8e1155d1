"""Layer maps: the published ones at the poster's depths, one contract for all named maps at any depths."""

from __future__ import annotations

import pytest

from palenka_tune.distill.layer_maps import NAMED, POSTER, resolve_layer_map
from palenka_tune.errors import UserError


def resolve(layer_map, teacher_depth=24, student_depth=16, family="gpt2", teacher=0):
    return resolve_layer_map(
        layer_map, teacher=teacher, teacher_depth=teacher_depth, student_depth=student_depth, family=family
    )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_poster_map_is_the_published_one_at_its_depths(family):
    assert resolve("poster", family=family) == POSTER[family]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_poster_map_at_half_the_depths_keeps_its_nine_pairs(family):
    assert resolve("poster", 12, 8, family) == {0: 0, 2: 1, 3: 2, 5: 3, 6: 4, 8: 5, 9: 6, 11: 7, 12: 8}


@pytest.mark.parametrize("name", [*NAMED, "every:1", "every:3"])
@pytest.mark.parametrize("depths", [(24, 16), (4, 4), (2, 16), (12, 3), (6, 8)])
@pytest.mark.parametrize("family", ["gpt2", "llama", "other"])
def test_named_maps_stay_inside_both_depths(name, depths, family):
    teacher_depth, student_depth = depths
    layer_map = resolve(name, teacher_depth, student_depth, family)
    assert layer_map
    assert all(0 <= t <= teacher_depth and 0 <= s <= student_depth for t, s in layer_map.items())
    assert list(layer_map) == sorted(layer_map)


def test_uniform_and_last():
    assert resolve("uniform", 8, 4) == {0: 0, 2: 1, 4: 2, 6: 3, 8: 4}
    assert resolve("last", 8, 4) == {8: 4}
    assert resolve("every:4", 8, 4) == {0: 0, 4: 2, 8: 4}


def test_explicit_maps_for_all_teachers_or_for_each():
    assert resolve({0: 0, 24: 16}) == {0: 0, 24: 16}
    assert resolve([{1: 1}, {2: 2}], teacher=1) == {2: 2}


@pytest.mark.parametrize(
    ("layer_map", "message"),
    [
        ({25: 3}, "teacher 0 has hidden states 0 to 24 and the student 0 to 16"),
        ({3: 17}, "teacher 0 has hidden states 0 to 24 and the student 0 to 16"),
        ("unifrom", "did you mean 'uniform'"),
        ("every:0", "N of 1 or more"),
        ("every:x", "N of 1 or more"),
        ({}, "name at least one pair"),
        ([], "give one per teacher"),
    ],
)
def test_maps_that_cannot_be(layer_map, message):
    with pytest.raises(UserError, match=message):
        resolve(layer_map)
