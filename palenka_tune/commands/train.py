"""Train one model with plain cross-entropy: a teacher, or a baseline.

PRESET is an architecture by name (--list prints them). Its recipe is the scale's for a teacher of that name or family.
The model is kept in the storage folder and found there by every search that asks for the same one; a training that was
stopped resumes from its last epoch when the command is given again.

Examples:
  python -m palenka_tune.train GPT2-tiny
  python -m palenka_tune.train Llama-small --data ../babylm_10M --scale small --set lr=7e-4 --set epochs=4
  python -m palenka_tune.train GPT2-705M --data ../babylm_100M --scale poster --address auto --workers 8
  python -m palenka_tune.train --list
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from palenka_tune.cluster.machine import available_cpus
from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import Parser
from palenka_tune.config.artifacts import is_complete
from palenka_tune.config.build import build, leaf_paths, set_path
from palenka_tune.config.console import make_console, progress_on
from palenka_tune.config.files import check_writable
from palenka_tune.config.options import flag, option
from palenka_tune.config.recipe import Recipe
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.limits import Limits, Strict, check_fields
from palenka_tune.models.presets import PRESETS, get_preset
from palenka_tune.models.scales import SCALES, get_scale, parameter_count
from palenka_tune.spaces.experiment import SEED, recipe_for, resolve_overrides
from palenka_tune.spaces.given import open_data
from palenka_tune.spaces.options import ExperimentOptions, RayOptions

if TYPE_CHECKING:
    from palenka_tune.teachers.spec import Teacher

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSettings(Strict):
    """Everything that shapes the weights; what `--set` addresses."""

    preset: str
    seed: Annotated[int, SEED] = 0
    data: data.DataSettings = field(default_factory=data.DataSettings)
    recipe: Recipe = field(default_factory=Recipe)
    dev_windows: Annotated[int, Limits(ge=1, hint=", or null for all")] | None = None

    def __post_init__(self) -> None:
        get_preset(self.preset)
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RayOptions, ExperimentOptions):
    """Which teacher, on what data, and where it is trained."""

    preset: str | None = option("an architecture by name", "PRESET", positional=True)
    workers: int | None = option("processes that train it together (default: what fits)", "N")
    list: bool = flag("print the presets with their true sizes")


def main(options: TrainOptions) -> Teacher:
    """Train the teacher, or open it if it is in the storage folder; prints progress and the result.

    Raises `UserError` for input that cannot work, before Ray starts, and `PalenkaError` if the training fails.
    """
    settings = settings_from(options)
    storage = check_writable(options.storage)
    protect(options.address)
    data.check(settings.data)
    # torch and transformers: only now, when the input is known to be good
    from palenka_tune.teachers.ray_trainer import train_teachers
    from palenka_tune.teachers.spec import TeacherSpec, open_teacher, teacher_folder

    if options.workers is not None:
        _check_workers(options.workers, settings.recipe, options.address)
    prepared = data.prepare(settings.data, storage)
    logger.info(prepared.describe())
    preset = get_preset(settings.preset)
    count = parameter_count(preset, prepared.store.vocabulary_size, prepared.store.window)
    logger.info(f"{preset.name}: {preset.architecture}, {count:,} parameters")
    spec = TeacherSpec(preset, settings.recipe, settings.seed)
    folder = teacher_folder(storage, spec, prepared.fingerprint, settings.dev_windows)
    if is_complete(folder):
        teacher = open_teacher(folder)
        print(f"already trained with these settings on this data: {teacher.describe()}; {folder}")
        return teacher
    logger.info(
        f"recipe: {', '.join(f'{name} {value}' for name, value in dataclasses.asdict(settings.recipe).items())}"
    )
    with ray_session(options.address) as resources:
        [teacher] = train_teachers(
            [spec],
            prepared,
            storage,
            workers=options.workers,
            use_gpu=resources.gpus >= 1,
            dev_windows=settings.dev_windows,
        )
    speed = teacher.tokens / max(teacher.seconds, 1e-9)
    print(f"{teacher.describe()}; {teacher.tokens:,} tokens at {speed:,.0f} tokens/s; {folder}")
    return teacher


def _check_workers(workers: int, recipe: Recipe, address: str | None) -> None:
    """Refuse `--workers` that this machine or the recipe cannot have; a cluster is asked once it is attached."""
    import torch

    from palenka_tune.teachers.ray_trainer import plan

    gpus = torch.cuda.device_count()
    cpus, gpus = (sys.maxsize, sys.maxsize) if address else (available_cpus(), gpus)
    plan([recipe], cpus, gpus, workers, use_gpu=gpus > 0)


def describe_presets() -> str:
    """A table of all presets: architecture, and true parameter counts with the vocabulary of each scale."""
    rows = [("preset", "architecture", *(f"{scale.name} ({scale.vocabulary:,})" for scale in SCALES.values()))]
    for name, preset in PRESETS.items():
        counts = (parameter_count(preset, scale.vocabulary, scale.window) / 1e6 for scale in SCALES.values())
        rows.append((name, preset.architecture, *(f"{count:.2f} M" for count in counts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(["parameters at each scale's vocabulary:", lines[0], "-" * len(lines[0]), *lines[1:]])


def settings_from(options: TrainOptions) -> TrainSettings:
    """Settings of a scale, overridden by options and `--set`; raises `UserError` for unknown names and bad values."""
    if options.preset is None:
        raise UserError("no PRESET was given; name an architecture such as GPT2-tiny (--list prints them all)")
    get_preset(options.preset)
    scale = get_scale(options.scale or "tiny")
    tree: dict[str, Any] = {
        "preset": options.preset,
        "seed": options.seed or 0,
        "data": {"source": options.data or data.BABYTALK, "vocabulary": scale.vocabulary, "window": scale.window},
        "recipe": dataclasses.asdict(recipe_for(options.preset, scale.name)),
        "dev_windows": scale.dev_windows,
    }
    paths = [path for path in leaf_paths(TrainSettings) if path != "preset"]
    for path, value in resolve_overrides([*options.settings.items()], paths):
        set_path(tree, path, value)
    settings = build(TrainSettings, tree, "train")
    return dataclasses.replace(settings, data=open_data(settings.data, []))


def parser() -> Parser:
    """The options of the command."""
    return Parser("train", __doc__, options=TrainOptions)


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    options = TrainOptions(**parser().keywords(argv))
    if options.list:
        print(describe_presets())
    else:
        with progress_on(make_console(), quiet=options.quiet):
            main(options)
    return 0
