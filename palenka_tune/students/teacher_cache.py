"""The teacher cache of a search: what its space needs, whether that fits, and the cache itself.

All trials read one cache, so it holds every hidden state and every distribution that a corner of the space can name.
Where the budget is too small for that, ranks that would not fit leave the space before anything is trained.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from palenka_tune.cache import build
from palenka_tune.cache.job import base_of
from palenka_tune.cache.plan import Need, candidates, choose, gigabytes, merged, need_of
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import Resources
from palenka_tune.config.artifacts import is_complete
from palenka_tune.data.store import TokenStore
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import UserError
from palenka_tune.spaces.experiment import Experiment, shape_of
from palenka_tune.spaces.resolve import restrict_rank
from palenka_tune.spaces.settings import SearchConfig, trainable
from palenka_tune.students.bench import select_windows
from palenka_tune.students.teachers import teacher_folders
from palenka_tune.teachers.spec import Teacher, open_teacher
from palenka_tune.trials.arms import arms_of

logger = logging.getLogger(__name__)


def search_need(config: SearchConfig, shapes: tuple[ModelShape, ...]) -> Need:
    """What the trials of a search ask of its teachers."""
    fixed = [arm.constants for arm in arms_of(config)]
    ranges = [p.name for p in config.space.parameters if p.kind != "choice"]
    by_student: dict[ModelShape, list[DistillSettings]] = {config.experiment.student_shape: []}
    for settings in trainable(config, fixed) if shapes else ():
        by_student.setdefault(shape_of(settings.student.architecture), []).append(settings.distill)
    any_temperature = "temperature" in ranges
    return merged(
        [need_of(losses, shape, shapes, any_temperature=any_temperature) for shape, losses in by_student.items()]
    )


def fit_cache(config: SearchConfig, shapes: tuple[ModelShape, ...], store: TokenStore, storage: Path) -> SearchConfig:
    """The search whose cache fits into its budget and the free space: the same one, or one without the largest ranks.

    Raises `UserError` if no cache that serves it fits.
    """
    settings = config.experiment.cache
    need = search_need(config, shapes)
    if settings.form == "online" or need.nothing:
        return config
    windows = select_windows(store, config.experiment.student)
    tokens = windows.count * store.window
    plans = candidates(need, settings, shapes, store.vocabulary_size, config.experiment.seed)
    teachers = _trained(config.experiment, store, storage)
    base = None if teachers is None else base_of(store, teachers, windows, settings.precision)
    plan = choose(plans, tokens, lambda plan: build.room(plan, settings, storage, base))
    held = [kept for layers in plan.need.layers for kept in layers.values() if kept is not None]
    if plan.need == need or not held:
        return config
    most, size = max(held), gigabytes(plans[0].bytes_per_token() * tokens)
    reason = f"the whole teacher cache takes {size} and the budget holds {most} components of each hidden state"
    restricted = restrict_rank(config, most, reason)
    logger.info(f"projection.rank is searched up to {most}: {reason}")
    return restricted


def _trained(experiment: Experiment, store: TokenStore, storage: Path) -> list[Teacher] | None:
    """The teachers, if all exist already: then a cache of them may be there too, or a part of one."""
    folders = teacher_folders(experiment, store.fingerprint, storage)
    for teacher, folder in zip(experiment.teachers, folders, strict=True):
        if not (teacher.is_given or is_complete(folder)):
            return None
    return [open_teacher(folder) for folder in folders]


def obtain_cache(
    experiment: Experiment,
    need: Need,
    teachers: Sequence[Teacher],
    store: TokenStore,
    storage: Path,
    resources: Callable[[], Resources],
    *,
    or_online: bool = False,
) -> TeacherCache | None:
    """The cache that answers `need`, found or built; None if there is nothing to keep or teachers are to run online.

    `resources` is asked for only if a cache must be built. With `or_online` it is None also where no cache fits and the
    form is left to us: the teachers then run on every batch, which no loss notices.
    """
    if experiment.cache.form == "online" or need.nothing:
        return None
    windows = select_windows(store, experiment.student)
    try:
        return build.obtain(need, experiment.cache, teachers, store, windows, storage, resources, seed=experiment.seed)
    except UserError as error:
        if not or_online or experiment.cache.form != "auto":
            raise
        logger.info(f"the teachers run on every batch, since {error}")
        return None
