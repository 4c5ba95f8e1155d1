"""What a loss has to know of the models before any is built: shapes, projection widths and layer maps.

Standard library only, so that a search space can be checked without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from palenka_tune.distill.layer_maps import resolve_layer_map
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.errors import UserError


@dataclass(frozen=True)
class ModelShape:
    """A model's name, family (`gpt2`, `llama`), width and number of layers."""

    name: str
    family: str
    width: int
    depth: int


def direction_for(settings: ProjectionSettings, student_width: int, teacher_width: int) -> str:
    """The direction, with `toward_larger` (the poster's) resolved: the narrower side is projected, the student's where
    both are equal."""
    if settings.direction != "toward_larger":
        return settings.direction
    return "teacher_to_student" if student_width > teacher_width else "student_to_teacher"


def projection_widths(settings: ProjectionSettings, student_width: int, teacher_width: int) -> tuple[int, int]:
    """(input, output) width of a projection; refuses a rank above the teacher's width and an identity between unequal
    widths."""
    if settings.rank is not None and settings.rank > teacher_width:
        raise UserError(
            f"projection.rank is {settings.rank}, but a teacher's hidden states are {teacher_width} wide; "
            f"use a rank of at most {teacher_width}, or null for the full width"
        )
    reduced = settings.rank or teacher_width
    widths = (student_width, reduced)
    if direction_for(settings, student_width, teacher_width) == "teacher_to_student":
        widths = (reduced, student_width)
    if settings.kind == "identity" and widths[0] != widths[1]:
        raise UserError(
            f"projection.kind 'identity' needs equal widths, but the student is {student_width} wide and the target "
            f"{reduced}; use linear, mlp or orthogonal, or set projection.rank to {student_width}"
        )
    return widths


def resolved_maps(
    settings: DistillSettings, student: ModelShape, teachers: tuple[ModelShape, ...]
) -> list[dict[int, int]]:
    """One {teacher state: student state} map per teacher, after checking maps and widths; raises `UserError`."""
    maps = []
    for number, teacher in enumerate(teachers):
        maps.append(
            resolve_layer_map(
                settings.projection.layer_map,
                teacher=number,
                teacher_depth=teacher.depth,
                student_depth=student.depth,
                family=teacher.family,
            )
        )
        projection_widths(settings.projection, student.width, teacher.width)
    return maps
