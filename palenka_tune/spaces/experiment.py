"""What is trained on what: data, student, teachers and the loss, resolved from a scale, a YAML file and `--set`.

The scale gives the defaults, the file overrides them, the command line overrides both. Everything that can be refused
without reading the corpus is refused here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from palenka_tune.cache.settings import CacheSettings
from palenka_tune.config.build import build, full_path, set_path
from palenka_tune.config.files import weights_digest
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import DataSettings
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.shapes import ModelShape, resolved_maps
from palenka_tune.errors import UserError
from palenka_tune.limits import Limits, Strict, check_fields
from palenka_tune.models.given import architecture_digest, layers_of, read_architecture
from palenka_tune.models.presets import Family, ModelPreset, get_preset, is_preset
from palenka_tune.models.scales import Scale, get_scale
from palenka_tune.models.source import source_of

SEED = Limits(ge=0, le=2**32 - 1)
ARCHITECTURE = ("family", "width", "layers", "heads", "kv_heads", "head_dim", "ffn", "tied")


def shape_of(preset: ModelPreset) -> ModelShape:
    """What a loss must know of a preset's model."""
    return ModelShape(preset.name, preset.family, preset.width, preset.layers)


@dataclass(frozen=True)
class StudentSettings(Strict):
    """The student's architecture, the weights it begins with, and which windows it sees.

    `preset` is an architecture by name, of which `family` (gpt2, llama, qwen3), `width`, `layers`, `heads`, `kv_heads`,
    `head_dim`, `ffn` and `tied` change what is given (`models.presets.ModelPreset`); or that of a model's config.json,
    named as a teacher is, of which `layers` may be changed. The student begins with `init` weights: `fresh` ones, the
    `weights` of that model, or those of the first `teacher`, both with layers at even distances (`models.initial`).

    `train_fraction` keeps that share of the train windows (a fixed, nested choice), `train_windows` caps their number
    after that; `dev_windows` caps the dev windows on which `val/ce` is measured. With `offsets` E above 1 each epoch
    cuts the text into windows a further T/E tokens later, E times before the first cut returns.
    """

    preset: str
    train_fraction: Annotated[float, Limits(gt=0, le=1)] = 1.0
    train_windows: Annotated[int, Limits(ge=1, hint=", or null for all")] | None = None
    dev_windows: Annotated[int, Limits(ge=1, hint=", or null for all")] | None = None
    offsets: Annotated[int, Limits(ge=1, le=64, hint=" cuts of the text")] = 1
    family: Family | None = None
    width: Annotated[int, Limits(ge=1)] | None = None
    layers: Annotated[int, Limits(ge=1)] | None = None
    heads: Annotated[int, Limits(ge=1)] | None = None
    kv_heads: Annotated[int, Limits(ge=1)] | None = None
    head_dim: Annotated[int, Limits(ge=2)] | None = None
    ffn: Annotated[int, Limits(ge=1)] | None = None
    tied: bool | None = None
    init: Literal["fresh", "weights", "teacher"] = "fresh"

    def __post_init__(self) -> None:
        check_fields(self, "student.")
        source = source_of(self.preset)
        if self.init == "weights" and source.kind == "preset":
            raise UserError(
                f"student.init is weights, but student.preset {self.preset} is an architecture alone; name a model "
                "folder, or leave init out"
            )
        changed = [name for name in ARCHITECTURE if getattr(self, name) is not None and name != "layers"]
        if source.kind != "preset" and changed:
            raise UserError(
                f"student.{changed[0]} is given, but student.preset {self.preset} is a model, whose config.json says "
                "it; leave it out (only layers may be changed), or name a preset"
            )
        if self.is_open:
            self.architecture  # noqa: B018 (raises for sizes that do not fit together)

    @property
    def is_open(self) -> bool:
        """Whether its architecture can be told: a model of the hub or of a search is not here before it is opened."""
        return _is_open(self.preset)

    @property
    def identity(self) -> dict[str, Any]:
        """What a fingerprint is made of: what is not changed of the preset does not count."""
        told = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value is not None or name not in ARCHITECTURE
        }
        if self.init == "fresh":
            del told["init"]  # as it was before there was a choice
        if not is_preset(self.preset):
            told["preset"] = architecture_digest(self.preset)
        if self.init == "weights":
            told["weights"] = weights_digest(self.preset)
        return told

    @property
    def architecture(self) -> ModelPreset:
        """The preset with what is changed of it; raises `UserError` for sizes that do not fit together."""
        if not is_preset(self.preset):
            model = read_architecture(self.preset)
            if self.layers is None:
                return model
            name = changed_name(model.name, {"layers": self.layers})
            return dataclasses.replace(model, name=name, layers=self.layers)
        preset = get_preset(self.preset)
        changed = {name: getattr(self, name) for name in ARCHITECTURE if getattr(self, name) is not None}
        if not changed:
            return preset
        if changed.get("family", preset.family) == "gpt2":
            changed = {"ffn": None, **changed}
        elif preset.family == "gpt2":
            changed = {"ffn": 4 * changed.get("width", preset.width), **changed}  # GPT-2's size, gated
        return dataclasses.replace(preset, name=changed_name(self.preset, changed), **changed)


def changed_name(name: str, changes: Mapping[str, Any]) -> str:
    """What a student is called of which some sizes are changed: `Student-tiny with width 96, layers 2`."""
    sizes = ", ".join(f"{key} {value}" for key, value in changes.items() if value is not None)
    return f"{name} with {sizes}" if sizes else name


def _is_open(name: str) -> bool:
    source = source_of(name)
    return source.kind == "preset" or (source.kind == "folder" and Path(source.name).expanduser().is_dir())


@dataclass(frozen=True)
class TeacherSettings(Strict):
    """A teacher to train (a preset's name and a recipe), or a trained one: the folder of a Hugging Face model, a model
    of the hub (`hub:OWNER/NAME@REVISION`), or `run:NAME`, the best student of a search in the same storage.

    `preset` is that name (`models.source`). `recipe` changes settings of the recipe that the scale has for it. Its
    `seed` is its own: students of several seeds learn from the same teachers.
    """

    preset: str
    recipe: Recipe = field(default_factory=Recipe)
    seed: Annotated[int, SEED] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        source_of(self.preset)

    @property
    def is_given(self) -> bool:
        """Whether it is trained already: in a folder, by a search, on the hub."""
        return source_of(self.preset).kind != "preset"

    @property
    def is_open(self) -> bool:
        """Whether its architecture can be told, as that of a student."""
        return _is_open(self.preset)

    @property
    def architecture(self) -> ModelPreset:
        """The preset's, or that of its folder; raises `UserError` for a folder without one."""
        return read_architecture(self.preset) if self.is_given else get_preset(self.preset)


@dataclass(frozen=True)
class Experiment(Strict):
    """Everything that shapes a student's training but where it is stored and on what machine it runs."""

    scale: str
    seed: Annotated[int, SEED]
    data: DataSettings
    student: StudentSettings
    recipe: Recipe
    teachers: list[TeacherSettings]
    distill: DistillSettings
    cache: CacheSettings = field(default_factory=CacheSettings)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.student.init == "teacher" and not self.teachers:
            raise UserError("student.init is teacher, but there are no teachers; name one, or leave init out")

    @property
    def student_shape(self) -> ModelShape:
        return shape_of(self.student.architecture)

    def teacher_shapes(self) -> tuple[ModelShape, ...] | None:
        """Shapes of the teachers, or None while one of them is a folder that has not been opened yet."""
        if any(teacher.is_given for teacher in self.teachers):
            return None
        return tuple(shape_of(get_preset(teacher.preset)) for teacher in self.teachers)

    def check_distillation(self, distill: DistillSettings, shapes: tuple[ModelShape, ...] | None = None) -> None:
        """Refuse a loss that these models cannot have: no teachers, a layer map out of range, unequal widths.

        `shapes` are the teachers' (None: what is known without opening a folder).
        """
        if (distill.alpha or distill.beta) and not self.teachers:
            raise UserError("there are no teachers, but alpha or beta is above 0; name teachers or set both to 0")
        if self.student.init == "teacher" and self.student.is_open and self.teachers[0].is_open:
            layers_of(self.teachers[0].architecture, self.student.architecture)
        shapes = shapes or self.teacher_shapes()
        if shapes and self.student.is_open:
            distill.weights(len(shapes))
            if distill.beta:
                resolved_maps(distill, self.student_shape, shapes)


def scale_defaults(scale: Scale) -> dict[str, Any]:
    """The tree of settings that a scale stands for."""
    return {
        "scale": scale.name,
        "seed": 0,
        "data": {"source": "babytalk", "vocabulary": scale.vocabulary, "window": scale.window},
        "student": {
            "preset": scale.student,
            "train_windows": scale.train_windows,
            "dev_windows": scale.dev_windows,
        },
        "recipe": dataclasses.asdict(scale.student_recipe),
        "teachers": [{"preset": name, "recipe": dataclasses.asdict(recipe)} for name, recipe in scale.teachers],
        "distill": {},
        "cache": {},
    }


def resolve_tree(
    file: Mapping[str, Any], options: Mapping[str, Any], overrides: Sequence[tuple[str, Any]], where: str
) -> dict[str, Any]:
    """Merge scale defaults, `file` (from YAML), `options` (dotted path to value, None: not given) and `overrides`.

    `overrides` are (full dotted path, value) pairs. The scale itself may come from any of them, the last one winning.
    """
    given = [*((path, value) for path, value in options.items() if value is not None), *overrides]
    scales = ["tiny", file.get("scale"), *(value for path, value in given if path == "scale")]
    tree = scale_defaults(get_scale(str([name for name in scales if name is not None][-1])))
    for key, value in file.items():
        if key != "scale":
            tree[key] = tree[key] | value if isinstance(tree.get(key), dict) else value
    for path, value in given:
        set_path(tree, path, value)
    if not isinstance(tree["teachers"], list):
        raise UserError(f"{where}: teachers is {tree['teachers']!r}; give a list of presets or model folders")
    tree["teachers"] = [_teacher(entry, tree["scale"], where) for entry in tree["teachers"]]
    return tree


def _teacher(entry: Any, scale: str, where: str) -> dict[str, Any]:
    """A teacher given by name alone takes the recipe of the scale's teacher of its family."""
    if isinstance(entry, str):
        entry = {"preset": entry}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("preset"), str):
        raise UserError(f"{where}: a teacher is {entry!r}; give a preset's name, a model folder, or {{preset: NAME}}")
    entry = dict(entry)
    settings = TeacherSettings(entry["preset"])
    recipe = {} if settings.is_given else dataclasses.asdict(recipe_for(entry["preset"], scale))
    given = entry.get("recipe") or {}
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: teachers.recipe is {given!r}; give settings such as {{epochs: 3}}")
    return entry | {"recipe": recipe | dict(given)}


def recipe_for(preset: str, scale: str) -> Recipe:
    """The recipe of a teacher at a scale: its own there, else that of the scale's teacher of the same family."""
    teachers = get_scale(scale).teachers
    family = get_preset(preset).family
    same = [recipe for name, recipe in teachers if name == preset]
    akin = [recipe for name, recipe in teachers if get_preset(name).family == family]
    return (same or akin)[0]


def resolve_overrides(assignments: Sequence[tuple[str, Any]], paths: Sequence[str]) -> list[tuple[str, Any]]:
    """(full path, value) for each `--set`, whose name may be shortened to its last part."""
    return [(full_path(key, paths, f"--set {key}"), value) for key, value in assignments]


def experiment_from(tree: Mapping[str, Any], where: str) -> Experiment:
    """Build and check the experiment of a resolved tree (keys that do not belong to it are refused)."""
    experiment = build(Experiment, tree, where)
    for teacher in experiment.teachers:
        source = source_of(teacher.preset)
        if source.kind == "folder" and not Path(source.name).expanduser().is_dir():
            raise UserError(
                f"{where}: teacher {teacher.preset} is not a folder; give a preset's name or a model folder"
            )
    source = source_of(experiment.student.preset)
    if source.kind == "folder" and not experiment.student.is_open:
        raise UserError(
            f"{where}: student.preset {source.name} is not a folder; give a preset's name or a model folder"
        )
    return experiment
