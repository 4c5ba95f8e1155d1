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
from palenka_tune.errors import UserError
from palenka_tune.runs.options import SearchOptions
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.poster_method import method_settings
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.settings import SearchConfig, SearchSettings

if TYPE_CHECKING:
    from palenka_tune.search.search_result import SearchResult


def configure(
    space: str | Path | Mapping[str, Any] | None = None,
    *,
    data: str | Path | None = None,
    scale: str | None = None,
    seed: int | None = None,
    samples: int | None = None,
    finalists: int | None = None,
    seeds: int | None = None,
    method: str | None = None,
    cache_budget: float | None = None,
    teachers_online: bool = False,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> SearchConfig:
    """What a search is going to train, resolved and checked; nothing is read but the search space.

    Args:
        space: A name such as `dskd`, the path of a YAML file, or what such a file would hold; None is `dskd`.
        data: A folder in BabyLM layout, a Hugging Face dataset id, or `babytalk`, the built-in corpus.
        scale: `tiny` (two cores, minutes), `small` (one GPU) or `poster`.
        seed: Of everything random.
        samples: Trials to propose besides the two anchors.
        finalists: Best configurations to train again on all windows, with both anchors.
        seeds: Seeds of each finalist.
        method: `as_published` keeps the poster's three faults; `corrected` does not.
        cache_budget: Gigabytes of disk for the teachers' outputs; None is what is free.
        teachers_online: Run the teachers on every batch instead of keeping their outputs.
        settings: `{name: value}` as `--set` takes them, such as `{"projection.rank": 64}`; `{"beta": {"log_uniform":
            [1, 30]}}` searches a setting over a range of your own.
        more: The same as keywords, such as `temperature=2`.

    Raises:
        UserError: for a name that is not known or a value that cannot be.
    """
    options = {
        "scale": scale,
        "data.source": None if data is None else str(data),
        "seed": seed,
        "search.samples": samples,
        "search.finalists": finalists,
        "search.seeds": seeds,
        "cache.budget_gb": cache_budget,
        "cache.form": "online" if teachers_online else None,
        **(method_settings(method) if method else {}),
    }
    paths = [*leaf_paths(Experiment), *(f"search.{path}" for path in leaf_paths(SearchSettings))]
    check_keywords(more, [*paths, *inspect.signature(run).parameters], "search.run")
    return resolve(space, options=options, assignments=[*(settings or {}).items(), *more.items()])


def run(
    space: str | Path | Mapping[str, Any] | SearchConfig | None = None,
    *,
    data: str | Path | None = None,
    scale: str | None = None,
    seed: int | None = None,
    samples: int | None = None,
    finalists: int | None = None,
    seeds: int | None = None,
    method: str | None = None,
    cache_budget: float | None = None,
    teachers_online: bool = False,
    name: str | None = None,
    storage: str | Path | None = None,
    minimal_pairs: str | Path | None = None,
    concurrent: int | None = None,
    gpus_per_trial: float | None = None,
    address: str | None = None,
    study_storage: str | None = None,
    resume: bool = False,
    resume_or_start: bool = False,
    push_to_hub: str | None = None,
    register: str | None = None,
    dry_run: bool = False,
    quiet: bool = True,
    plain: bool = False,
    console: Console | None = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> SearchResult:
    """Search for the best way to distil a student, and return what was found.

    What is trained is said as to `configure`, by `space`, `data`, `scale`, `seed`, `method`, `cache_budget`,
    `teachers_online`, `settings` and `more`; or `space` is what `configure` gave.

    Args:
        space: See `configure`; so `data`, `scale`, `seed`, `method`, `cache_budget`, `teachers_online`, `settings`.
        samples: Trials to propose besides the two anchors; a search that goes on may be given more than before.
        finalists: Best configurations to train again on all windows; a finished search may have them later.
        seeds: Seeds of each finalist.
        name: The run's name; None is the space and the time, or, with `resume`, the search that ran last.
        storage: A folder (None is `./palenka_runs`), or `s3://` or `gs://` and a bucket, for runs, teachers and caches.
        minimal_pairs: A BLiMP-format folder to score the models on; None is the corpus' own, if any.
        concurrent: Trials at a time; None is one for each CPU core, or what the GPUs hold.
        gpus_per_trial: Share of a GPU for each trial, from 0 to 1; None is chosen from its memory.
        address: A running Ray cluster; None starts Ray on this machine and ends it afterwards.
        study_storage: A database for the study; None is a file in the run folder.
        resume: Go on with the search `name`: what is finished is not run again.
        resume_or_start: Go on with the search `name` if it was begun, else start it.
        push_to_hub: OWNER/NAME on the Hugging Face hub to send the best student to.
        register: The model in MLflow's registry that gets the best student as a version: its champion if it is better
            on the same data, else a challenger.
        dry_run: Check everything, show the plan (unless `quiet`) and train nothing.
        quiet: Show nothing; False shows the progress and the tables of the command.
        plain: With `quiet=False`, a line per finished trial on a terminal too, no live view.
        console: Where to show tables, and the progress unless `quiet`; None is standard output, or nowhere if `quiet`.

    Raises:
        UserError: for input that cannot work, before any work begins.
        PalenkaError: for what went wrong later; the search can go on with `resume=True`.
    """
    shape: dict[str, Any] = {
        "data": data,
        "scale": scale,
        "seed": seed,
        "method": method,
        "cache_budget": cache_budget,
        "teachers_online": teachers_online or None,
        "settings": settings or None,
    }
    asked = [*more, *(key for key, value in shape.items() if value is not None)]
    options = SearchOptions(
        name=name,
        storage=str(storage or SearchOptions.storage),
        concurrent=concurrent,
        gpus_per_trial=gpus_per_trial,
        address=address,
        minimal_pairs=None if minimal_pairs is None else str(minimal_pairs),
        study_storage=study_storage,
        resume=resume,
        resume_or_start=resume_or_start,
        samples=samples,
        finalists=finalists,
        seeds=seeds,
        push_to_hub=push_to_hub,
        register=register,
        quiet=quiet,
        plain=plain,
        dry_run=dry_run,
    )
    config: SearchConfig | None
    if isinstance(space, SearchConfig):
        if asked:
            raise UserError(f"search.run: {asked[0]} was given beside a SearchConfig; give it to search.configure")
        config = dataclasses.replace(space, search=dataclasses.replace(space.search, **options.again))
    elif resume and space is None and not asked:
        config = None  # a search that goes on is what it was, unless more is said
    else:
        config = configure(space, samples=samples, finalists=finalists, seeds=seeds, **shape, **more)
    calm_libraries()
    protect(address)
    from palenka_tune.search.launch import main  # ray and mlflow: only once the input is known to be good

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
