"""Which hidden state of a teacher supervises which of the student.

Hidden state 0 is the embedding output and state L the output of the last of L layers. A map is {teacher: student}. The
registry gives maps by name for any two depths; explicit maps are checked against both.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from palenka_tune.distill.settings import LayerMap
from palenka_tune.errors import UserError, nearest

# The poster's maps, published for teachers of 24 layers and a student of 16.
POSTER_DEPTHS = (24, 16)
POSTER = {
    "gpt2": {0: 0, 3: 2, 6: 4, 9: 6, 12: 8, 15: 10, 18: 12, 21: 14, 23: 15},
    "llama": {0: 0, 3: 1, 6: 3, 9: 5, 12: 7, 15: 9, 18: 11, 21: 13, 23: 15},
}


def _poster(teacher_depth: int, student_depth: int, family: str) -> dict[int, int]:
    """The published map at its own depths; elsewhere the same relative depths, each student state used once."""
    published = POSTER.get(family, POSTER["gpt2"])  # a family without a teacher in the poster takes its first map
    teacher_full, student_full = POSTER_DEPTHS
    scaled = {
        _scaled(teacher, teacher_depth / teacher_full): _scaled(student, student_depth / student_full)
        for teacher, student in published.items()
    }
    teacher_of = {student: teacher for teacher, student in scaled.items()}
    return {teacher: student for student, teacher in teacher_of.items()}


def _scaled(state: int, scale: float) -> int:
    """The nearest state at another depth. Halves go up: rounded to even, two neighbours could become one state."""
    return math.floor(state * scale + 0.5)


def _uniform(teacher_depth: int, student_depth: int, family: str) -> dict[int, int]:
    """Every student state takes the teacher state of the same relative depth (each teacher state at most once)."""
    return {round(student * teacher_depth / student_depth): student for student in range(student_depth + 1)}


def _last(teacher_depth: int, student_depth: int, family: str) -> dict[int, int]:
    """The last state only."""
    return {teacher_depth: student_depth}


NAMED: dict[str, Callable[[int, int, str], dict[int, int]]] = {"poster": _poster, "uniform": _uniform, "last": _last}


def _every(step: int, teacher_depth: int, student_depth: int) -> dict[int, int]:
    """Every `step`-th teacher state, to the student state of the same relative depth."""
    return {teacher: round(teacher * student_depth / teacher_depth) for teacher in range(0, teacher_depth + 1, step)}


def resolve_layer_map(
    layer_map: LayerMap, *, teacher: int, teacher_depth: int, student_depth: int, family: str
) -> dict[int, int]:
    """The {teacher state: student state} map of teacher number `teacher`; raises `UserError` if it cannot exist."""
    if isinstance(layer_map, str):
        if layer_map.startswith("every:"):
            step = layer_map.removeprefix("every:")
            if not (step.isascii() and step.isdigit()) or int(step) < 1:
                raise UserError(f"projection.layer_map is '{layer_map}'; write every:N with N of 1 or more")
            return _every(int(step), teacher_depth, student_depth)
        if layer_map not in NAMED:
            known = [*NAMED, "every:N"]
            raise UserError(f"projection.layer_map is '{layer_map}', which is unknown{nearest(layer_map, known)}")
        return NAMED[layer_map](teacher_depth, student_depth, family)
    if isinstance(layer_map, list):
        if teacher >= len(layer_map):
            raise UserError(f"projection.layer_map lists {len(layer_map)} maps; give one per teacher")
        layer_map = layer_map[teacher]
    explicit = {int(key): int(value) for key, value in layer_map.items()}
    if not explicit:
        raise UserError("projection.layer_map is empty; name at least one pair, such as {4: 4}")
    for source, target in explicit.items():
        if not (0 <= source <= teacher_depth and 0 <= target <= student_depth):
            raise UserError(
                f"projection.layer_map has {source}: {target}, but teacher {teacher} has hidden states 0 to "
                f"{teacher_depth} and the student 0 to {student_depth}; keep the map inside both depths"
            )
    return explicit
