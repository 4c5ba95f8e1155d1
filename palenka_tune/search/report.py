"""The report of a search: what its study and its files say, put into plain data and handed to `palenka_tune.report`.

In: a run's folder, finished or not, by way of a `StatusReader`. Out: a `RunData`, and at the end of a search
`report.html` and `plots/`, also in MLflow. A report that cannot be written is said and loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import optuna
import yaml

from palenka_tune.report.data import RunData, Setting, Trial
from palenka_tune.report.write import PLOTS, REPORT, write_report
from palenka_tune.search import report_facts
from palenka_tune.search.finish import Place
from palenka_tune.search.ledger import TERMS, TOTAL_STEPS, own_trials, row_of
from palenka_tune.search.mlflow_observer import PARENT
from palenka_tune.search.read_only import reading
from palenka_tune.search.space import parse_space
from palenka_tune.search.status import StatusReader
from palenka_tune.search.status_view import headline


def publish(place: Place, study: optuna.Study) -> None:
    """Write the report of the search in `place.folder` and log it; whatever goes wrong, the search's results stand."""
    try:
        run = run_data(StatusReader(place.folder, place.storage, study=study))
        write_report(place.folder / REPORT, [run])
        place.tracker.log_artifact(PARENT, place.folder / REPORT)
        place.tracker.log_artifact(PARENT, place.folder / PLOTS)
    except Exception as error:  # of whatever kind: all that it would show is on disk
        place.log(
            f"the report could not be written ({type(error).__name__}: {error}); the results are there, try again "
            f"with: python -m palenka_tune.report {place.folder}"
        )


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
    settings = _settings(tree)
    spreads = report_facts.target_spreads(folder)
    layers, cache = report_facts.cache_of(attrs, reader.storage)
    summary = reader.files.json("summary.json") or {}
    return RunData(
        name=status.run,
        state=headline(status),
        objective=tree.get("search", {}).get("objective", "val/ce"),
        settings=settings,
        trials=tuple(_trial(row_of(trial), spreads) for trial in trials),
        total_steps=attrs.get(TOTAL_STEPS),
        seconds=status.elapsed,
        asked=tuple(report_facts.asked(tree)),
        facts=tuple(report_facts.facts(status.folder, attrs, tree, summary)),
        warnings=tuple(status.warnings),
        ahead=status.resume,
        models=tuple(report_facts.models(reader.files.json("evaluation.json") or {})),
        finalists=report_facts.finalists(folder, summary),
        finalists_asked=int(tree.get("search", {}).get("finalists", 0)),
        layers=tuple(layers),
        cache=tuple(cache),
        commands=tuple(report_facts.commands(status.run, status.folder, status.storage, attrs)),
        configuration=wanted["yaml"] if wanted else "",
        comparable=report_facts.comparable(attrs, tree),
    )


def _settings(tree: Mapping[str, Any]) -> tuple[Setting, ...]:
    space = parse_space(tree.get("parameters", {}), "search.yaml")
    return tuple(
        Setting(each.name, each.kind, each.choices, each.low, each.high, bool(each.when)) for each in space.parameters
    )


def _trial(row: Mapping[str, Any], spreads: Mapping[str, float]) -> Trial:
    fields = {field.name for field in dataclasses.fields(Trial)} - {"terms"}
    terms = {**{name: row[name] for name in TERMS}, "target_std": spreads.get(row["trial_id"])}
    return Trial(terms=terms, **{name: value for name, value in row.items() if name in fields})
