"""The last stage of a search: finalists over seeds, their scores, and a verdict with an interval.

It begins where a search has ended, in the same process or in one that resumes it, and needs nothing of the trials but
the ledger. At its end the best finalist's student is `best/`, and `summary.json` has the verdict under `finalists`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from palenka_tune.cluster.session import ray_session
from palenka_tune.config.build import flat
from palenka_tune.config.files import read_json, write_json, write_text
from palenka_tune.errors import PalenkaError
from palenka_tune.models.card import model_card
from palenka_tune.models.export import copy_export, load_model
from palenka_tune.runs.context import Place
from palenka_tune.runs.options import SearchOptions
from palenka_tune.runs.resume import check_teachers_are
from palenka_tune.runs.study import mark_finished
from palenka_tune.search import results
from palenka_tune.search.finalists import train as finalists
from palenka_tune.search.mlflow import notes
from palenka_tune.search.mlflow import results as tracked
from palenka_tune.search.mlflow.results import suite_metrics
from palenka_tune.search.tune.placement import Placement
from palenka_tune.search.tune.placement import place as place_trials
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.storage import mirror
from palenka_tune.students.jobs import STUDENT
from palenka_tune.students.scoring import ScoreJob, score_models
from palenka_tune.students.teachers import obtain_teachers
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tags import NOTE, PARENT, RUN_NAME
from palenka_tune.trials import verdict
from palenka_tune.trials.arms import anchor_values
from palenka_tune.trials.ledger import Ledger

DONE = "finalists"  # attribute of the study: the finalists that it has had
REPLACED = ("summary.json", "evaluation.json", finalists.TABLE, "best")


def wanted(config: SearchConfig, study: optuna.Study) -> bool:
    """Whether finalists are asked for that are not there yet."""
    return bool(config.search.finalists) and study.user_attrs.get(DONE) != _asked(config)


def _asked(config: SearchConfig) -> dict[str, int]:
    return {"finalists": config.search.finalists, "seeds": config.search.seeds}


def carry_out(
    config: SearchConfig, options: SearchOptions, place: Place, study: optuna.Study, ledger: Ledger
) -> dict[str, Any]:
    """Train and score the finalists of the finished search in `place.folder`; returns what `summary.json` then holds.

    Raises `PalenkaError` if a finalist cannot be trained or the teachers changed; what is there is kept.
    """
    chosen = finalists.configurations(config, ledger.rows())
    if not chosen:
        place.log("no finalists: no proposed trial was trained to its end")
        place.tracker.end_run(PARENT, "FINISHED")
        return dict(read_json(place.folder / "summary.json"))
    place.tracker.start_run(PARENT, name=place.folder.name)  # goes on with the search's
    with ray_session(options.address) as resources:
        teachers = obtain_teachers(
            config.experiment, place.prepared, place.storage, use_gpu=resources.gpus > 0, log=place.log
        )
        check_teachers_are(study, teachers)
        cache = finalists.cache_for(config, chosen, teachers, place, resources)
        placement = place_trials(config if cache else _online(config), options, resources)
        rows = finalists.train(config, chosen, teachers, cache, place, placement)
        scores = _score(rows, place, placement)
    suites = list(dict.fromkeys(name for each in scores.values() for name in each))
    summaries = verdict.summarise(
        rows,
        {each.name: config.settings_of(each.values)[0].beta for each in chosen},
        suites,
        changed={each.name: _changed(config, each.values) for each in chosen if each.role == "finalist"},
    )
    place.console.print(verdict.table(summaries, suites))
    said = verdict.verdict(summaries, suites)
    place.console.print(said, markup=False)
    mark_finished(study, place.folder, but=REPLACED)
    finalists.write_table(place.folder / finalists.TABLE, rows)
    finalists.clean(place.folder, rows)
    best = _best(summaries, rows)
    comparison = verdict.markdown(summaries, suites)
    settings = {each.name: each.values for each in chosen}
    for row in rows:
        if row["val_ce"] is not None:
            card = _card(config, place, row, settings[row["config"]], teachers, scores[row["folder"]], said, comparison)
            path = place.folder / row["folder"] / STUDENT / "README.md"
            write_text(path, card)
            mirror.publish(path)
    copy_export(place.folder / best["folder"] / STUDENT, place.folder / "best")
    _write_evaluation(place, rows, scores)
    summary = _write_summary(config, place, summaries, best, settings[best["config"]], said)
    _log_to_mlflow(place, summary, rows, chosen, best, scores)
    note = notes.finished(
        summary,
        read_json(place.folder / "evaluation.json"),
        notes.about(place, teachers, options),
        finalists=comparison,
    )
    place.tracker.set_linked_tags(PARENT, {NOTE: note})
    place.tracker.end_run(PARENT, "FINISHED")
    mark_finished(study, place.folder)
    study.set_user_attr(DONE, _asked(config))
    results.publish_report(place, study)
    return summary


def _online(config: SearchConfig) -> SearchConfig:
    """The search with teachers that run beside each student, which takes more of a GPU."""
    cache = dataclasses.replace(config.experiment.cache, form="online")
    return dataclasses.replace(config, experiment=dataclasses.replace(config.experiment, cache=cache))


def _score(rows: Sequence[dict[str, Any]], place: Place, placement: Placement) -> dict[str, dict[str, Any]]:
    """The suites' results by the student's folder; each accuracy is put into its row, under the suite's name.

    Raises `PalenkaError` if a student cannot be scored; the scores of the others are kept.
    """
    scored = [row for row in rows if row["val_ce"] is not None]
    jobs = [
        ScoreJob(
            name=f"{row['config']}-seed{row['seed']}",
            folder=str(place.folder / row["folder"]),
            model=str(place.folder / row["folder"] / STUDENT),
            suites=place.suites,
            digest=row["weights_sha256"],
            device=placement.device,
        )
        for row in scored
    ]
    results = score_models(
        jobs,
        concurrent=placement.concurrent,
        cpus=placement.cpus_per_trial,
        gpus=placement.gpus_per_trial,
        log=place.log,
    )
    for row, result in zip(scored, results, strict=True):
        if "failed" in result:
            raise PalenkaError(
                f"finalist {result['name']} could not be scored ({result['failed']}); the others are kept: go on with "
                f"--resume --name {place.folder.name}"
            )
        row |= {name: scores["accuracy"] for name, scores in result["suites"].items()}
    return {row["folder"]: result["suites"] for row, result in zip(scored, results, strict=True)}


def _changed(config: SearchConfig, values: Mapping[str, Any]) -> list[str]:
    """Settings besides those of the hidden states in which a trial differs from the vanilla KD anchor."""
    own, anchor = (
        flat({**dataclasses.asdict(distill), "recipe": dataclasses.asdict(recipe)})
        for distill, recipe in (
            config.settings_of(values),
            config.settings_of(anchor_values(config.experiment.distill.alpha)["vanilla_kd"]),
        )
    )
    hidden = ("beta", "hidden_gradient", "projection.")
    return [name for name, value in own.items() if value != anchor.get(name) and not name.startswith(hidden)]


def _best(summaries: Sequence[verdict.Summary], rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The student that becomes `best/`: of the configuration with the lowest mean val/ce, anchors included, the one of
    the first seed, so that no luck of a seed is chosen."""
    measured = [summary for summary in summaries if verdict.VAL_CE in summary.metrics]
    if not measured:
        raise PalenkaError("every finalist diverged, anchors too; search with a lower recipe.lr")
    winner = min(measured, key=lambda summary: summary.metrics[verdict.VAL_CE].mean)
    own = [row for row in rows if row["config"] == winner.config and row["val_ce"] is not None]
    return min(own, key=lambda row: int(row["seed"]))


def _card(
    config: SearchConfig,
    place: Place,
    row: Mapping[str, Any],
    values: Mapping[str, Any],
    teachers: Sequence[Teacher],
    scores: Mapping[str, Any],
    said: str,
    comparison: str,
) -> str:
    """The model card of a finalist, with its own scores and the verdict on all."""
    distill, recipe = config.settings_of(values)
    mirror.fetch_folder(place.folder / row["folder"] / STUDENT)
    model, _ = load_model(place.folder / row["folder"] / STUDENT)
    taught = bool(row["alpha"] or row["beta"])
    settings = dataclasses.asdict(recipe) | (flat(dataclasses.asdict(distill)) if taught else {})
    return model_card(
        title=f"{place.folder.name}: {row['config']}, seed {row['seed']}",
        model=model,
        data=place.prepared.describe(),
        settings={"configuration": row["config"], "seed": row["seed"], "trained on": "all windows", **settings},
        val_ce=row["val_ce"],
        teachers=[teacher.name for teacher in teachers] if taught else [],
        minimal_pairs={suite: (each["accuracy"], each["stderr"]) for suite, each in scores.items()},
        verdict=said,
        comparison=comparison,
    )


def _write_evaluation(place: Place, rows: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
    """Add the finalists' scores to `evaluation.json`, whose other models are those of the search itself."""
    path = place.folder / "evaluation.json"
    names = ("config", "role", "seed", "val_ce", "folder")
    found = [{name: row[name] for name in names} | {"suites": scores.get(row["folder"], {})} for row in rows]
    write_json(path, {**read_json(path), "finalists": found})


def _write_summary(
    config: SearchConfig,
    place: Place,
    summaries: Sequence[verdict.Summary],
    best: Mapping[str, Any],
    values: Mapping[str, Any],
    said: str,
) -> dict[str, Any]:
    path = place.folder / "summary.json"
    summary: dict[str, Any] = read_json(path)
    summary["finalists"] = {
        **_asked(config),
        "verdict": said,
        "best": {
            **{name: best[name] for name in ("config", "seed", "val_ce", "folder")},
            "values": dict(values),
            "measured_on": tracked.measured_on(place.prepared, finalists.whole(config.experiment.student)),
        },
        "configurations": [each.to_dict() for each in summaries],
    }
    write_json(path, summary)
    return summary


def _log_to_mlflow(
    place: Place,
    summary: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    chosen: Sequence[finalists.Configuration],
    best: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, Any]],
) -> None:
    """Scores and names of the students' runs; tables and the best student at the search's."""
    tracker = place.tracker
    by_name = {each.name: each for each in chosen}
    for each in chosen:
        if each.role == "finalist":
            tracker.set_tags(each.name, {"palenka.finalist": "true"})
    for row in rows:
        key = finalists.run_key(row["config"], row["seed"])
        name = by_name[row["config"]].run_name(row["seed"])
        is_best = row is best
        tracker.set_tags(
            key, {RUN_NAME: f"best student, {name}" if is_best else name, "palenka.best": str(is_best).lower()}
        )
        if row["val_ce"] is not None:
            tracker.log_metrics(key, _accuracies(scores[row["folder"]]), step=row["tokens"])
    tracker.set_tags(PARENT, {"palenka.verdict": summary["finalists"]["verdict"]})
    for name in ("summary.json", "evaluation.json", finalists.TABLE):
        tracker.log_artifact(PARENT, place.folder / name)
    tracker.log_model(
        PARENT,
        place.folder / "best",
        tracked.BEST_STUDENT,
        settings={"configuration": best["config"], "seed": best["seed"], **by_name[best["config"]].values},
        metrics={"val/ce": best["val_ce"], **_accuracies(scores[best["folder"]])},
        step=best["tokens"],
        measured_on=tracked.dev_dataset(place.prepared),
    )


def _accuracies(suites: Mapping[str, Any]) -> dict[str, float]:
    return suite_metrics({suite: found["accuracy"] for suite, found in suites.items()})
