"""Configuration of a search: a YAML file of `search_spaces/`, options and `--set`, resolved and checked.

Everything wrong is refused here, before a file is written or a Ray process started: `resolve` returns a `SearchConfig`
in which every corner of the space is a loss that the models at hand can have.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.config.build import build, full_path, leaf_paths, load_yaml
from palenka_tune.config.files import is_path
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import UserError, nearest
from palenka_tune.spaces.experiment import Experiment, experiment_from, resolve_tree
from palenka_tune.spaces.settings import SearchConfig, SearchSettings
from palenka_tune.spaces.space import KINDS, parse_space, searchable_paths

DEFAULT_SPACE = "dskd"
UNNAMED = "space"  # one that was given as a mapping
TOP_LEVEL = (
    "description",
    "scale",
    "seed",
    "data",
    "student",
    "recipe",
    "teachers",
    "distill",
    "cache",
    "search",
    "parameters",
)


def find_space(space: str) -> Path:
    """The file of a search space given by path or by name (`dskd`)."""
    path = Path(space).expanduser()
    if path.suffix in (".yaml", ".yml") or is_path(space):
        return path
    known = {file.stem: file for file in shipped_spaces()}
    if space not in known:
        raise UserError(f"there is no search space '{space}'{nearest(space, known)}; give a name or a YAML file")
    return known[space]


def shipped_spaces() -> list[Path]:
    """The search spaces that come with the product: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent.parent
    for folder in (package.parent / "search_spaces", package / "search_spaces"):
        if folder.is_dir():
            return sorted(folder.glob("*.yaml"))
    return []


def resolve(
    space: str | Path | Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    assignments: Sequence[tuple[str, Any]] = (),
) -> SearchConfig:
    """Read, override and check a space: a name, a file, or what a file would hold. `options` are dotted paths from the
    command line (None: not given); `assignments` are `--set` pairs: a searched parameter that is set to a value is
    fixed, one set to {kind: [...]} is searched so."""
    if isinstance(space, Mapping):
        name = where = UNNAMED
        file = {str(key): copy.deepcopy(value) for key, value in space.items()}
    else:
        path = find_space(str(space or DEFAULT_SPACE))
        name, where = path.stem, str(path) if is_path(str(space or "")) else path.stem
        file = load_yaml(path)
    for key in file:
        if key not in TOP_LEVEL:
            raise UserError(f"{where}: unknown key '{key}'{nearest(key, TOP_LEVEL)}")
    parameters = _section(file.pop("parameters", None), "parameters", where)
    search_tree = dict(_section(file.pop("search", None), "search", where))
    description = str(file.pop("description", "") or "").strip()
    for key in ("data", "student", "recipe", "distill", "cache"):
        file[key] = _section(file.get(key), key, where)
    if file["distill"].get("projection", {}) is None:
        del file["distill"]["projection"]
    parse_space(parameters, where)  # as written, so that its errors name the file and not an override
    overrides = _sort_assignments(assignments, parameters, search_tree, where)
    for key, value in (options or {}).items():
        if key.startswith("search.") and value is not None:
            search_tree[key.removeprefix("search.")] = value
    plain = {key: value for key, value in (options or {}).items() if not key.startswith("search.")}
    tree = resolve_tree(file, plain, overrides, where)
    config = SearchConfig(
        name,
        description,
        experiment_from(tree, where),
        build(SearchSettings, search_tree, where),
        parse_space(parameters, where),
        parameters,
    )
    check_space(config, where)
    return config


def _section(value: Any, key: str, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {key} is {value!r}; give a mapping of settings")
    return {str(name): entry for name, entry in value.items()}


def _sort_assignments(
    assignments: Sequence[tuple[str, Any]], parameters: dict[str, Any], search_tree: dict[str, Any], where: str
) -> list[tuple[str, Any]]:
    """Apply `--set` pairs to the space and the search's own settings; returns those for the experiment."""
    searchable = searchable_paths()
    paths = [*leaf_paths(Experiment), *(f"search.{path}" for path in leaf_paths(SearchSettings))]
    rest = []
    for key, value in assignments:
        opening = f"--set {key}"
        name = key.removeprefix("parameters.")
        if isinstance(value, Mapping) and any(kind in value for kind in KINDS):
            path = full_path(name, searchable, opening)
            parse_space({path: {kind: value[kind] for kind in value if kind != "when"}}, opening)
            _settle(parameters, path, value.get("choice"), where)
            parameters[path] = dict(value)
            continue
        path = full_path(name, paths, opening)
        if path.startswith("search."):
            search_tree[path.removeprefix("search.")] = value
            continue
        if path.removeprefix("distill.") in searchable:
            _settle(parameters, path.removeprefix("distill."), [value], where)
        rest.append((path, value))
    return rest


def _settle(parameters: dict[str, Any], name: str, values: Any, where: str) -> None:
    """Take a parameter out of the space because `--set` gives it `values` (None: a range).

    Parameters whose condition can no longer hold go with it; a condition that now always holds is dropped.
    """
    searchable = searchable_paths()
    for key in list(parameters):
        if full_path(key, searchable, where) == name:
            del parameters[key]
    for key, entry in list(parameters.items()):
        for other, allowed in list((entry.get("when") or {}).items()):
            if full_path(str(other), searchable, where) != name or not isinstance(values, list):
                continue
            allowed = allowed if isinstance(allowed, list) else [allowed]
            when = {key: value for key, value in entry["when"].items() if key != other}
            if not any(value in allowed for value in values):
                del parameters[key]
                break
            if all(value in allowed for value in values):
                parameters[key] = {**entry, "when": when}
                entry = parameters[key]


def check_space(config: SearchConfig, where: str, shapes: tuple[ModelShape, ...] | None = None) -> None:
    """Refuse a space with a corner that cannot be trained, so that no trial fails for a reason known beforehand.

    `shapes` are the teachers', once those that are given as folders have been opened.
    """
    experiment = config.experiment
    if config.search.sampler == "grid":
        config.space.grid(where)
    if not experiment.distill.ce_weight:
        raise UserError(
            f"{where}: distill.ce_weight is 0, but a search also trains a student without teachers, which has nothing "
            "else to learn from; set it above 0"
        )
    experiment.check_distillation(experiment.distill, shapes)
    for values in config.space.corners():
        distill, _ = config.settings_of(values)
        try:
            experiment.check_distillation(distill, shapes)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def restrict_rank(config: SearchConfig, most: int, reason: str) -> SearchConfig:
    """The search without ranks above `most` (null, the full width, included); raises `UserError` if none is left."""
    known = {parameter.name: parameter for parameter in config.space.parameters}
    name = "projection.rank"
    if name not in known:
        raise UserError(
            f"{config.space_name}: projection.rank is {config.experiment.distill.projection.rank or 'null (all)'}, but "
            f"{reason}; set projection.rank to {most} or less, or allow more"
        )
    rank = known[name]
    kept: dict[str, Any] = {"int": [int(rank.low), min(int(rank.high), most)]}
    if rank.kind == "choice":
        kept = {"choice": [value for value in rank.choices if value is not None and value <= most]}
    if not kept.get("choice", [1]) or (rank.kind != "choice" and rank.low > most):
        raise UserError(
            f"{config.space_name}: no value of projection.rank is left, since {reason}; search ranks up to {most}"
        )
    parameters = dict(config.raw_parameters)
    _sort_assignments([(name, kept)], parameters, {}, config.space_name)
    return dataclasses.replace(config, space=parse_space(parameters, config.space_name), raw_parameters=parameters)
