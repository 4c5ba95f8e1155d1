"""Configuration of a search: a YAML file of `search_spaces/`, options and `--set`, resolved and checked.

Everything wrong is refused here, before a file is written or a Ray process started: `resolve` returns a `SearchConfig`
in which every corner of the space is a loss that the models at hand can have.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.config.build import build, full_path, leaf_paths, load_yaml
from palenka_tune.config.files import is_path
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import UserError, nearest
from palenka_tune.spaces.experiment import Experiment, experiment_from, resolve_tree
from palenka_tune.spaces.settings import SECTIONS, SearchConfig, SearchSettings, TrialSettings, objective_name
from palenka_tune.spaces.space import KINDS, Space, parse_parameter, parse_space, searchable_path, settled, space_of

logger = logging.getLogger(__name__)
DEFAULT_SPACE = "dskd"
UNNAMED = "space"  # one that was given as a mapping
MOST_RUNGS = 10  # of a file of an earlier version, which gave their number
TOP_LEVEL = ("description", *Experiment.__dataclass_fields__, "search", "parameters")


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
    """The search that a space, given by name, as a file or as what a file holds, makes with `options` and `--set`.

    `options` are dotted paths (None: not given). `assignments` are the `--set` pairs, which win over them: a parameter
    set to a value is no longer searched, one set to {kind: [...]} is searched so. Raises `UserError` for anything that
    cannot work.
    """
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
    for key in (*SECTIONS, "parameters"):
        section = file.get(key)
        if section is not None and not isinstance(section, Mapping):
            raise UserError(f"{where}: {key} is {section!r}; give a mapping of settings")
        file[key] = {str(setting): value for setting, value in (section or {}).items()}
    if file["distill"].get("projection", {}) is None:
        del file["distill"]["projection"]
    description = str(file.pop("description", "") or "").strip()
    searched, overrides = _assigned(parse_space(file.pop("parameters"), where), assignments, where)
    tree = resolve_tree(file, options or {}, overrides, where)
    search_tree = tree.pop("search")
    if "objective" in search_tree:
        search_tree["objective"] = objective_name(str(search_tree["objective"]))
    _modernise(search_tree, where)
    search = build(SearchSettings, search_tree, where)
    experiment = experiment_from(tree, where)
    fixed = TrialSettings(experiment.distill, experiment.recipe, experiment.student).flat()
    config = SearchConfig(name, description, experiment, search, searched.around(fixed, where))
    check_space(config, where)
    return config


def setting_paths() -> list[str]:
    """The settings of an experiment and of its search, by their dotted paths."""
    return [*leaf_paths(Experiment), *(f"search.{path}" for path in leaf_paths(SearchSettings))]


def _modernise(search: dict[str, Any], where: str) -> None:
    """Settings of a file of an earlier version, as they are called now; what is read otherwise is said."""
    said = []
    if "finalists" in search:
        count = search.pop("finalists")
        if count == 0:
            search.setdefault("seeds", 0)
        said.append(f"finalists: {count} is seeds: {search.get('seeds', SearchSettings.seeds)}")
    if "divergence" in search:
        search["divergence_limit"] = search.pop("divergence")
        said.append(f"divergence is divergence_limit: {search['divergence_limit']}")
    rungs = search.get("rungs")
    if isinstance(rungs, int) and not isinstance(rungs, bool) and 0 <= rungs <= MOST_RUNGS:
        reduction = search.get("reduction", SearchSettings.reduction)
        search["rungs"] = [round(reduction**-place, 4) for place in range(rungs, 0, -1)]
        said.append(f"rungs: {rungs} is rungs: {search['rungs']}")
    if said:
        logger.warning("%s is written for an earlier version: in search, %s", where, "; ".join(said))


def _assigned(space: Space, assignments: Sequence[tuple[str, Any]], where: str) -> tuple[Space, list[tuple[str, Any]]]:
    """The space after `--set`, and the pairs that set something else, with full paths."""
    paths = setting_paths()
    parameters, overrides = list(space.written), []
    for key, value in assignments:
        opening, name = f"--set {key}", key.removeprefix("parameters.")
        if isinstance(value, Mapping) and any(kind in value for kind in KINDS):
            searched = parse_parameter(searchable_path(name, opening), value, opening)
            parameters = [*settled(parameters, searched.name, searched.choices or None), searched]
        else:
            path = full_path(name, paths, opening)
            parameters = settled(parameters, path.removeprefix("distill."), [value])
            overrides.append((path, value))
    return space_of(parameters, where), overrides


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
    if not experiment.teachers:
        idle = [each.name for each in config.space.parameters if not each.name.startswith(("recipe.", "student."))]
        if idle:
            raise UserError(
                f"{where}: there are no teachers, so that {idle[0]} means nothing; search settings of the recipe, or "
                "name teachers"
            )
        _ = config.corners  # raises for a student that cannot be
        return
    for settings in (config.settings_of({}), *config.corners):
        try:
            dataclasses.replace(experiment, student=settings.student).check_distillation(settings.distill, shapes)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def restrict_rank(config: SearchConfig, most: int, reason: str) -> SearchConfig:
    """The search without ranks above `most` (null, the full width, included), its fixed setting as well; raises
    `UserError` if none is left."""
    name, where = "projection.rank", config.space_name
    rank = next((parameter for parameter in config.space.parameters if parameter.name == name), None)
    if rank is None:
        raise UserError(
            f"{where}: projection.rank is {config.experiment.distill.projection.rank or 'null (all)'}, but {reason}; "
            f"set projection.rank to {most} or less, or allow more"
        )
    choices = tuple(value for value in rank.choices if value is not None and value <= most)
    if not choices if rank.kind == "choice" else rank.low > most:
        raise UserError(f"{where}: no value of projection.rank is left, since {reason}; search ranks up to {most}")
    narrowed = dataclasses.replace(rank, choices=choices, high=min(rank.high, most))
    others = settled(config.space.written, name, choices or None)
    experiment, fixed = config.experiment, config.experiment.distill.projection
    if fixed.rank is None or fixed.rank > most:
        fixed = dataclasses.replace(fixed, rank=max(choices) if choices else min(int(rank.high), most))
        distill = dataclasses.replace(experiment.distill, projection=fixed)
        experiment = dataclasses.replace(experiment, distill=distill)
    return dataclasses.replace(config, experiment=experiment, space=space_of([*others, narrowed], where))
