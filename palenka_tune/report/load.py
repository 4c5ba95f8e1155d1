"""The report of a search: what its study and its files say, put into plain data and handed to `palenka_tune.report`.

In: a run's folder, finished or not, by way of a `StatusReader`. Out: a `RunData`, and at the end of a search
`report.html` and `plots/`, also in MLflow. A report that cannot be written is said and loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import yaml

from palenka_tune.config.build import flat
from palenka_tune.report import facts
from palenka_tune.report.data import RunData, Setting
from palenka_tune.runs import cost
from palenka_tune.runs.run_folder import SEARCH_YAML
from palenka_tune.runs.study import reading
from palenka_tune.runs.summary import EVALUATION, SUMMARY
from palenka_tune.spaces.settings import objective_name
from palenka_tune.spaces.space import IDLE, Parameter, effective, holds, parse_space
from palenka_tune.status.reader import StatusReader
from palenka_tune.status.view import headline
from palenka_tune.students.headroom import headroom_of
from palenka_tune.trials.arms import FIXED, HIDDEN
from palenka_tune.trials.ledger import TOTAL_STEPS
from palenka_tune.trials.rows import TrialRow, own_trials, rows_of


def run_data(reader: StatusReader) -> RunData:
    """All that is known of a search; raises `UserError` or `PalenkaError` if its study cannot be found or read."""
    status, study, folder = reader.look(), reader.study, reader.folder
    if study is None:
        return RunData(status.run, headline(status), warnings=tuple(status.warnings), ahead=status.resume)
    with reading(reader.url):
        attrs = study.user_attrs
        trials = own_trials(study.get_trials(deepcopy=False))
    wanted = attrs.get("search")
    tree: dict[str, Any] = yaml.safe_load(wanted["yaml"]) if wanted else {}
    space, fixed = _searched(tree)
    rows = rows_of(trials)
    headroom = headroom_of(attrs, rows)
    layers, cache = facts.cache_of(attrs, reader.storage)
    summary = reader.files.json(SUMMARY) or {}
    return RunData(
        name=status.run,
        state=headline(status),
        objective=objective_name(tree.get("search", {}).get("objective", "val_ce")),
        settings=tuple(
            Setting(each.name, each.kind, each.choices, each.low, each.high, bool(each.when)) for each in space
        ),
        trials=tuple(_with_own_settings(TrialRow.of(trial), fixed) for trial in trials),
        spreads=facts.target_spreads(folder),
        total_steps=attrs.get(TOTAL_STEPS),
        seconds=status.elapsed,
        asked=tuple(facts.asked(tree)),
        facts=tuple(facts.facts(status.folder, attrs, tree, summary)),
        warnings=tuple(status.warnings),
        ahead=status.resume,
        models=tuple(facts.models(reader.files.json(EVALUATION) or {})),
        finalists=facts.finalists(folder, summary),
        seeds_asked=int(tree.get("search", {}).get("seeds", 0)),
        costs=tuple(cost.cells(cost.costs(attrs, rows, attrs.get(TOTAL_STEPS)))),
        headroom=tuple(headroom.sentences() if headroom else ()),
        layers=tuple(layers),
        cache=tuple(cache),
        commands=tuple(facts.commands(status.run, status.folder, status.storage, attrs)),
        configuration=wanted["yaml"] if wanted else "",
        comparable=facts.comparable(attrs, tree),
    )


def _with_own_settings(row: TrialRow, fixed: Mapping[str, Any]) -> TrialRow:
    """The trial with what shapes its student of the searched settings.

    A fixed trial has the fixed values. The weights of 0 that make an arm are no settings, and lie outside the space.
    """
    settings = effective({**(fixed if row.origin == FIXED else {}), **row.settings})
    if row.arm != HIDDEN:
        settings = {name: value for name, value in settings.items() if value or name not in IDLE}
    return dataclasses.replace(row, settings=settings)


def _searched(tree: Mapping[str, Any]) -> tuple[tuple[Parameter, ...], dict[str, Any]]:
    """What was searched, and the fixed values of it by name; those of conditional settings only where they exist."""
    values = flat({**tree.get("distill", {}), "recipe": tree.get("recipe", {})})
    space = parse_space(tree.get("parameters", {}), SEARCH_YAML).around(values, SEARCH_YAML).parameters
    return space, {
        each.name: _as_choice(values[each.name], each) for each in space if each.name in values and holds(each, values)
    }


def _as_choice(value: Any, parameter: Parameter) -> Any:
    """The choice that is equal to `value`, if there is one: 2 of a fixed 2.0."""
    equal = (each for each in parameter.choices if each == value and isinstance(each, bool) == isinstance(value, bool))
    return next(equal, value)
