"""A search from Python: `search.run(...)`, which the command calls too, and `search.load(...)` for one that has ended.

    from palenka_tune import search

    result = search.run("dskd", data="my_corpus", samples=16, beta={"log_uniform": [1, 30]})
    print(result.verdict)
    model, tokenizer = result.load_student()

Every option of `python -m palenka_tune.search` is a keyword of `run` with the same name, and every setting that `--set`
takes is a keyword too, or an entry of `settings`. A mistake raises `UserError` with the sentence that the command
prints, before any work begins.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from palenka_tune.cluster.session import protect
from palenka_tune.config.build import check_keywords, leaf_paths
from palenka_tune.config.environment import calm_libraries
from palenka_tune.config.options import changed_options, split_options, takes_options
from palenka_tune.errors import UserError
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.options import SpaceOptions
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.settings import SearchConfig, SearchSettings

if TYPE_CHECKING:
    from palenka_tune.search.search_result import SearchResult


@takes_options(SpaceOptions)
def configure(space: str | Path | Mapping[str, Any] | None = None, **more: Any) -> SearchConfig:
    """What a search is going to train, resolved and checked; nothing is read but the search space.

    Args:
        space: A name such as `dskd`, the path of a YAML file, or what such a file would hold; None is `dskd`.
        {options}
        settings: `{name: value}` as `--set` takes them, such as `{"projection.rank": 64}`; `{"beta": {"log_uniform":
            [1, 30]}}` searches a setting over a range of your own.
        more: Settings as keywords, such as `temperature=2`.

    Raises:
        UserError: for a name that is not known or a value that cannot be.
    """
    options, more = split_options(SpaceOptions, more)
    paths = [*leaf_paths(Experiment), *(f"search.{path}" for path in leaf_paths(SearchSettings))]
    check_keywords(more, [*paths, *inspect.signature(run).parameters], "search.run")
    return resolve(space, options=options.as_settings(), assignments=[*options.settings.items(), *more.items()])


@takes_options(SearchOptions)
def run(
    space: str | Path | Mapping[str, Any] | SearchConfig | None = None,
    *,
    quiet: bool = True,
    console: Console | None = None,
    **more: Any,
) -> SearchResult:
    """Search for the best way to distil a student, and return the result.

    Args:
        space: A name such as `dskd`, the path of a YAML file, what such a file would hold, or what `configure` gave,
            beside which no option may be given that `configure` takes, except `samples` and `seeds`.
        quiet: Show nothing; False shows the progress and the tables of the command.
        console: Where to show tables, and the progress unless `quiet`; None is standard output, or nowhere if `quiet`.
        {options}
        settings: `{name: value}` as `--set` takes them; see `configure`.
        more: Settings as keywords, such as `temperature=2`.

    Raises:
        UserError: for input that cannot work, before any work begins.
        PalenkaError: for what goes wrong later; `resume=True` resumes the search.
    """
    options, settings = split_options(SearchOptions, {**more, "quiet": quiet})
    what = changed_options(options, SpaceOptions)
    asked = [name for name in (*settings, *what) if name not in options.again]
    config: SearchConfig | None
    if isinstance(space, SearchConfig):
        if asked:
            raise UserError(f"search.run: {asked[0]} was given beside a SearchConfig; give it to search.configure")
        config = dataclasses.replace(space, search=dataclasses.replace(space.search, **options.again))
    elif options.resume and space is None and not asked:
        config = None  # a resumed search is what it was, unless told otherwise
    else:
        config = configure(space, **what, **settings)
    calm_libraries()
    protect(options.address)
    from palenka_tune.search.launch import main  # ray and mlflow: only once the input is known to be good

    options = dataclasses.replace(options, settings={**options.settings, **settings})
    return main(config, options, console or (Console(quiet=True) if quiet else None))


def load(search: str | Path | None = None, *, storage: str | Path | None = None) -> SearchResult:
    """The result of a search that has ended.

    Args:
        search: Its folder, or its name in `storage`; None is the one that ran last there.
        storage: The folder of the searches (default: `./palenka_runs`). For one in a bucket, ask
            `run(resume=True, name=..., storage="s3://...")`, which brings a finished search here and runs nothing.

    Raises:
        UserError: if there is no such search, or it has not ended.
    """
    from palenka_tune.runs.run_folder import find_run
    from palenka_tune.search.search_result import load_result

    if storage is not None and "://" in str(storage):
        raise UserError(
            f"search.load: {storage} is not a folder of this machine; search.run(resume=True, name=..., "
            f'storage="{storage}") brings a finished search here'
        )
    is_folder = search is not None and storage is None and Path(search).expanduser().is_dir()
    kept = None if is_folder else Path(storage or SearchOptions.storage).expanduser().absolute()
    return load_result(find_run(None if search is None else str(search), kept))
