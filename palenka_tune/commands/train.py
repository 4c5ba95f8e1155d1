"""`python -m palenka_tune.train PRESET`: train one teacher, or say that it is there already."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from palenka_tune.cluster.session import available_cpus, ray_session
from palenka_tune.commands.options import Parser, add_experiment_options
from palenka_tune.config.artifacts import is_complete
from palenka_tune.config.build import build, full_path, leaf_paths, parse_assignment, set_path
from palenka_tune.config.console import line_logger
from palenka_tune.config.files import check_writable
from palenka_tune.config.recipe import Recipe
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.models.presets import PRESETS, get_preset
from palenka_tune.models.scales import SCALES, get_scale, parameter_count
from palenka_tune.spaces.experiment import check_seed, recipe_for
from palenka_tune.storage.mirror import DEFAULT_STORAGE

if TYPE_CHECKING:
    from palenka_tune.teachers.spec import Teacher

DESCRIPTION = """\
Train one model with plain cross-entropy: a teacher, or a baseline.

PRESET is an architecture by name (--list prints them). Its recipe is the scale's for a teacher of that name or family.
The model is kept in the storage folder and found there by every search that asks for the same one; a training that was
stopped goes on from its last epoch when the command is given again."""

EXAMPLES = """\
  python -m palenka_tune.train GPT2-tiny
  python -m palenka_tune.train Llama-small --data ../babylm_10M --scale small --set lr=7e-4 --set epochs=4
  python -m palenka_tune.train GPT2-705M --data ../babylm_100M --scale poster --address auto --workers 8
  python -m palenka_tune.train --list"""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that shapes the weights; what `--set` addresses."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    preset: str
    seed: int = 0
    data: data.DataSettings = field(default_factory=data.DataSettings)
    recipe: Recipe = field(default_factory=Recipe)
    dev_windows: int | None = None

    def __post_init__(self) -> None:
        get_preset(self.preset)
        check_seed(self.seed)
        if self.dev_windows is not None and self.dev_windows < 1:
            raise UserError(f"dev_windows is {self.dev_windows}; it must be 1 or more, or null for all")


@dataclass(frozen=True)
class TrainConfig:
    """One teacher: `settings` say what, the rest where; `workers` None shares the machine's GPUs or cores by itself."""

    settings: TrainSettings
    storage: str | Path = DEFAULT_STORAGE
    workers: int | None = None
    address: str | None = None
    quiet: bool = False


def main(config: TrainConfig) -> Teacher:
    """Train the teacher, or open it if it is in the storage folder; prints progress and the result.

    Raises `UserError` for input that cannot work, before Ray starts, and `PalenkaError` if the training fails.
    """
    settings = config.settings
    log = line_logger(config.quiet)
    storage = check_writable(config.storage)
    data.check(settings.data)
    # torch and transformers: only now, when the input is known to be good
    from palenka_tune.teachers.ray_trainer import train_teachers
    from palenka_tune.teachers.spec import TeacherSpec, open_teacher, teacher_folder

    _check_workers(config)
    prepared = data.prepare(settings.data, storage, log=log)
    log(prepared.describe())
    preset = get_preset(settings.preset)
    count = parameter_count(preset, prepared.store.vocabulary_size, prepared.store.window)
    log(f"{preset.name}: {preset.architecture}, {count:,} parameters")
    spec = TeacherSpec(preset, settings.recipe, settings.seed)
    folder = teacher_folder(storage, spec, prepared.fingerprint, settings.dev_windows)
    if is_complete(folder):
        teacher = open_teacher(folder)
        print(f"already trained with these settings on this data: {teacher.describe()}; {folder}")
        return teacher
    log(f"recipe: {', '.join(f'{name} {value}' for name, value in dataclasses.asdict(settings.recipe).items())}")
    with ray_session(config.address) as resources:
        [teacher] = train_teachers(
            [spec],
            prepared,
            storage,
            workers=config.workers,
            use_gpu=resources.gpus >= 1,
            dev_windows=settings.dev_windows,
            log=log,
        )
    speed = teacher.tokens / max(teacher.seconds, 1e-9)
    print(f"{teacher.describe()}; {teacher.tokens:,} tokens at {speed:,.0f} tokens/s; {folder}")
    return teacher


def _check_workers(config: TrainConfig) -> None:
    """Refuse `--workers` that this machine or the recipe cannot have; a cluster is asked once it is attached."""
    if config.workers is None:
        return
    import torch

    from palenka_tune.teachers.ray_trainer import plan

    gpus = torch.cuda.device_count()
    cpus, gpus = (sys.maxsize, sys.maxsize) if config.address else (available_cpus(), gpus)
    plan([config.settings.recipe], cpus, gpus, config.workers, use_gpu=gpus > 0)


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


def settings_from(
    preset: str,
    *,
    scale: str | None = None,
    source: str | None = None,
    seed: int | None = None,
    overrides: Sequence[tuple[str, Any]] = (),
) -> TrainSettings:
    """Settings of a scale, overridden by options and `--set`; raises `UserError` for unknown names and bad values."""
    get_preset(preset)
    chosen = get_scale(scale or "tiny")
    tree: dict[str, Any] = {
        "preset": preset,
        "seed": seed or 0,
        "data": {"source": source or data.BABYTALK, "vocabulary": chosen.vocabulary, "window": chosen.window},
        "recipe": dataclasses.asdict(recipe_for(preset, chosen.name)),
        "dev_windows": chosen.dev_windows,
    }
    paths = [path for path in leaf_paths(TrainSettings) if path != "preset"]
    for key, value in overrides:
        set_path(tree, full_path(key, paths, f"--set {key}"), value)
    return build(TrainSettings, tree, "train")


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("train", DESCRIPTION, EXAMPLES)
    parser.add_argument("preset", nargs="?", metavar="PRESET", help="an architecture by name")
    add_experiment_options(parser)
    parser.add_argument(
        "--workers", type=int, default=None, metavar="N", help="processes that train it together (default: what fits)"
    )
    parser.add_argument("--address", default=None, help="a running Ray cluster (default: start Ray on this machine)")
    parser.add_argument("--list", action="store_true", help="print the presets with their true sizes")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = parser().parse_args(argv)
    if args.list:
        print(describe_presets())
        return 0
    if args.preset is None:
        raise UserError("no PRESET was given; name an architecture such as GPT2-tiny (--list prints them all)")
    settings = settings_from(
        args.preset,
        scale=args.scale,
        source=args.data,
        seed=args.seed,
        overrides=[parse_assignment(text) for text in args.overrides],
    )
    main(TrainConfig(settings, args.storage or DEFAULT_STORAGE, args.workers, args.address, args.quiet))
    return 0
