"""What a search is going to do, in words for a person and in `search.yaml` for a machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.search import provenance
from palenka_tune.search.config import SearchConfig, grid_size
from palenka_tune.search.method import units


def samples(config: SearchConfig) -> int:
    """Trials that will be proposed: a grid has no more than its points."""
    if config.search.sampler == "grid":
        return min(config.search.samples, grid_size(config.space))
    return config.search.samples


def default_name(config: SearchConfig) -> str:
    """The space and the second in which the search began, such as `dskd-20260131-154501`."""
    return f"{config.space_name}-{time.strftime('%Y%m%d-%H%M%S')}"


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted path: value}, lists of plain values as they are."""
    items: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            items |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            items |= flat({str(number): entry for number, entry in enumerate(value)}, f"{prefix}{key}.")
        else:
            items[prefix + key] = value
    return items


def plan(config: SearchConfig) -> str:
    """What will be run, as a person would want to check it: models, data, space."""
    experiment = config.experiment
    vocabulary, window = experiment.data.vocabulary, experiment.data.window
    lines = [
        f"search {config.space_name}: {config.description}" if config.description else f"search {config.space_name}"
    ]
    lines.append(f"  data      {experiment.data.source}, vocabulary up to {vocabulary:,}, windows of {window} tokens")
    roles = [("student", experiment.student.preset, experiment.recipe)]
    roles += [("teacher", teacher.preset, teacher.recipe) for teacher in experiment.teachers if not teacher.is_folder]
    for role, name, recipe in roles:
        preset = get_preset(name)
        count = parameter_count(preset, vocabulary, window)
        lines.append(
            f"  {role:<9} {name}: {preset.architecture}; {count:,} parameters; lr {recipe.lr:g}, "
            f"batch {recipe.batch_size}, {recipe.epochs:g} epochs"
        )
    lines += [f"  teacher   {teacher.preset} (given)" for teacher in experiment.teachers if teacher.is_folder]
    kept = "run on every batch" if experiment.cache.form == "online" else f"run once, cache {experiment.cache.form}"
    lines.append(f"  teachers  {kept}")
    search = config.search
    stopping = (
        f"ASHA with {search.rungs} rungs, best 1/{search.reduction} go on" if search.rungs else "no early stopping"
    )
    lines.append(
        f"  search    {samples(config)} trials by {search.sampler} besides 2 anchors; {stopping}; "
        f"seed {experiment.seed}"
    )
    if search.finalists:
        lines.append(
            f"  then      the best {search.finalists} and the anchors again on all windows, {search.seeds} seeds each "
            "(--finalists 0: not)"
        )
    if search.objective != "val/ce":
        lines.append(f"  objective {search.objective}, which contains the searched weights, as the poster's did")
    if not experiment.distill.hidden_gradient:
        lines.append("  hidden    evaluated without a gradient, as the poster's was: beta cannot change a student")
    if experiment.distill.kl_reduction == "sequence":
        lines.append(f"  units     {units(experiment.distill.alpha or 1.0, 'sequence', window)}")
    for parameter in config.space.parameters:
        values = (
            list(parameter.choices)
            if parameter.kind == "choice"
            else f"{parameter.kind} [{parameter.low:g}, {parameter.high:g}]"
        )
        when = "".join(f", if {name} in {list(allowed)}" for name, allowed in parameter.when.items())
        lines.append(f"    {parameter.name:<24} {values}{when}")
    return "\n".join(lines)


def search_yaml(config: SearchConfig, data_fingerprint: str) -> str:
    """The resolved configuration, from which the same search can be started, with its provenance as comments."""
    facts = {**provenance.versions(), "git commit": provenance.git_commit(), "data fingerprint": data_fingerprint}
    comments = "".join(f"# {name}: {value}\n" for name, value in facts.items() if value)
    return comments + yaml.safe_dump(tree(config), sort_keys=False, allow_unicode=True)


def tree(config: SearchConfig) -> dict[str, Any]:
    """The configuration as plain data, with folders as they are found from anywhere."""
    found = config.tree()
    found["data"]["source"] = _absolute(found["data"]["source"])
    for teacher in found["teachers"]:
        teacher["preset"] = _absolute(teacher["preset"])
    return found


def _absolute(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.absolute()) if path.is_dir() else name
