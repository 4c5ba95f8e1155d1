"""Keep what the teachers say about the student's windows, so that no trial runs them again.

build   runs the teachers once over train and dev and keeps what the search space SPACE can ask for (a search does this
        by itself); a build that was stopped resumes
verify  compares every byte of a cache (FOLDER, or all in the storage folder) with what was written, and its teachers
        and tokenizer with those in the storage folder
info    lists the caches in the storage folder: what they hold, of which teachers, how large they are

Examples:
  python -m palenka_tune.cache build dskd --data ../babylm_10M --scale small --cache-budget 40
  python -m palenka_tune.cache build --set cache.form=sampled --set cache.samples=32
  python -m palenka_tune.cache verify
  python -m palenka_tune.cache info --storage runs
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import Parser
from palenka_tune.config.console import make_console, progress_on
from palenka_tune.config.files import check_writable
from palenka_tune.config.options import add_options
from palenka_tune.data import prepare as data
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.given import open_config
from palenka_tune.spaces.resolve import DEFAULT_SPACE, resolve

logger = logging.getLogger(__name__)
# options of a search that a cache has too
OPTIONS = ("data", "scale", "seed", "settings", "cache_budget", "storage", "quiet", "address")


def build(space: str | None, options: SearchOptions) -> Path | None:
    """Build the cache of a search, or open it; returns its folder (None if the space needs nothing of its teachers)."""
    config = resolve(space, options=options.as_settings(), assignments=[*options.settings.items()])
    protect(options.address)
    from palenka_tune.students.teacher_cache import fit_cache, obtain_cache, search_need
    from palenka_tune.students.teachers import obtain_teachers, open_given_teachers, teacher_shapes

    config = open_config(config, check_writable(options.storage))
    experiment = config.experiment
    if experiment.cache.form == "online":
        raise UserError("cache.form is 'online', which keeps nothing; choose auto, final_hidden, sampled or dense")
    data.check(experiment.data)
    storage = check_writable(options.storage)
    prepared = data.prepare(experiment.data, storage)
    shapes = teacher_shapes(experiment, open_given_teachers(experiment, prepared))
    config = fit_cache(config, shapes, prepared.store, storage)
    with ray_session(options.address) as resources:
        teachers = obtain_teachers(config.experiment, prepared, storage, use_gpu=resources.gpus > 0)
        need = search_need(config, tuple(teacher.shape for teacher in teachers))
        cache = obtain_cache(config.experiment, need, teachers, prepared.store, storage, lambda: resources)
    if cache is None:
        logger.info(f"{config.space_name} asks nothing of the teachers: there is nothing to keep")
        return None
    print(cache.folder)
    return cache.folder


def verify(folders: Sequence[Path]) -> int:
    """Check caches byte by byte and against their teachers and token store; returns how many are bad."""
    from palenka_tune.cache.store import TeacherCache
    from palenka_tune.data.store import TokenStore
    from palenka_tune.teachers.spec import open_teacher

    bad = 0
    for folder in folders:
        try:
            cache = TeacherCache.open(folder, verify=True)
            teachers = [open_teacher(_moved(folder, path)) for path in cache.manifest["teacher_folders"]]
            cache.check(teachers, TokenStore.open(_moved(folder, cache.manifest["store_folder"])))
            print(f"good  {folder.name}: {cache.describe()}")
        except PalenkaError as error:
            bad += 1
            print(f"BAD   {folder.name}: {error}")
    return bad


def _moved(cache: Path, recorded: str) -> Path:
    """Where an artifact is: as recorded, or beside the cache if the storage folder was moved since."""
    path = Path(recorded)
    beside = cache.parent.parent / path.parent.name / path.name
    return path if path.exists() or not beside.exists() else beside


def info(folders: Sequence[Path]) -> None:
    """Print a line per cache, and one per teacher where components are kept."""
    from palenka_tune.cache.store import TeacherCache

    for folder in folders:
        try:
            cache = TeacherCache.open(folder)
        except PalenkaError as error:
            print(f"{folder.name}: {error}")
            continue
        print(f"{folder.name}: {cache.describe()}")
        names = ", ".join(teacher.name for teacher in cache.teachers)
        seconds = cache.manifest["seconds"]
        print(f"  teachers {names}; {cache.manifest['bytes_per_token']:,} bytes a token; built in {seconds:,.0f} s")
        for name, share in cache.explained().items():
            print(f"  {name}: {100 * share:.1f} % of the variance")


def _folders(names: Sequence[str], storage: Path) -> list[Path]:
    """The named caches, or all of a storage folder, complete or not."""
    from palenka_tune.cache.job import caches_folder

    if names:
        return [Path(name).expanduser().absolute() for name in names]
    folders = sorted(path for path in caches_folder(storage).glob("*") if path.is_dir() and path.name[0] != ".")
    if not folders:
        raise UserError(f"there is no teacher cache in {storage}; build one: python -m palenka_tune.cache build")
    return folders


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("cache", __doc__)
    actions = ["build", "verify", "info"]
    parser.add_argument("action", choices=actions, metavar="|".join(actions), help="what to do")
    target = f"build: a search space (default: {DEFAULT_SPACE}); else caches"
    parser.add_argument("target", nargs="*", metavar="SPACE|FOLDER", help=target)
    add_options(parser, SearchOptions, OPTIONS)
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code: 1 if a cache is bad."""
    keywords = parser().keywords(argv)
    action, target, options = keywords.pop("action"), keywords.pop("target"), SearchOptions(**keywords)
    if action == "build":
        if len(target) > 1:
            raise UserError(f"cache build takes one search space, not {len(target)} ({', '.join(target)})")
        with progress_on(make_console(), quiet=options.quiet):
            build(target[0] if target else None, options)
        return 0
    folders = _folders(target, Path(options.storage).expanduser())
    if action == "info":
        info(folders)
        return 0
    return 1 if verify(folders) else 0
