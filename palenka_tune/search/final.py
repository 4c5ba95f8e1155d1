"""The last stage of a search: finalists over seeds, their scores, and a verdict with an interval.

It begins where a search has ended, in the same process or in one that resumes it, and needs nothing of the trials but
the ledger. At its end the best finalist's student is `best/`, and `summary.json` has the verdict under `finalists`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from palenka_tune.cluster.session import ray_session
from palenka_tune.config.files import read_json, write_json
from palenka_tune.models.card import model_card
from palenka_tune.models.export import copy_export, load_model
from palenka_tune.search import finalists, run_folder, teaching, tuning, verdict
from palenka_tune.search.config import SearchConfig
from palenka_tune.search.finalists import Configuration
from palenka_tune.search.finish import Place
from palenka_tune.search.judging import ScoreJob, score_models
from palenka_tune.search.ledger import Ledger
from palenka_tune.search.mlflow_observer import PARENT
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.plan import flat
from palenka_tune.search.resume import check_teachers_are
from palenka_tune.search.students import STUDENT
from palenka_tune.search.tuning import Placement
from palenka_tune.teachers.spec import Teacher

DONE = "finalists"  # attribute of the study: the finalists that it has had


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
        return dict(read_json(place.folder / "summary.json"))
    place.tracker.start_run(PARENT, name=place.folder.name)  # goes on with the search's
    with ray_session(options.address) as resources:
        placement = tuning.place(config, options, resources)
        teachers = teaching.obtain(
            config.experiment, place.prepared, place.storage, use_gpu=resources.gpus > 0, log=place.log
        )
        check_teachers_are(study, teachers)
        rows = finalists.train(config, chosen, teachers, place, placement, resources)
        suites = _score(rows, place, placement)
    summaries = verdict.summarise(
        rows,
        {each.name: config.settings_of(each.values)[0].beta for each in chosen},
        suites,
        changed={each.name: _changed(config, each) for each in chosen if each.role == "finalist"},
    )
    place.console.print(verdict.table(summaries, suites))
    said = verdict.verdict(summaries, suites)
    place.console.print(said, markup=False)
    study.set_user_attr("finished", None)  # from here on its files change
    finalists.write_table(place.folder / finalists.TABLE, rows)
    finalists.clean(place.folder, rows)
    best = _best(summaries, rows)
    _export(config, place, best, teachers, said, verdict.markdown(summaries, suites), suites)
    summary = _write_summary(config, place, summaries, best, said)
    _log_to_mlflow(place, summary, summaries)
    run_folder.close(study, place.folder)
    study.set_user_attr(DONE, _asked(config))
    return summary


def _score(rows: Sequence[dict[str, Any]], place: Place, placement: Placement) -> list[str]:
    """Put each student's accuracy into its row, under the suites' names, which are returned."""
    jobs = [
        ScoreJob(
            name=f"{row['config']}-seed{row['seed']}",
            folder=str(place.folder / row["folder"]),
            model=str(place.folder / row["folder"] / STUDENT),
            suites=place.suites,
            digest=row["weights_sha256"],
            device=placement.device,
        )
        for row in rows
    ]
    results = score_models(
        jobs,
        concurrent=placement.concurrent,
        cpus=placement.cpus_per_trial,
        gpus=placement.gpus_per_trial,
        log=place.log,
    )
    for row, result in zip(rows, results, strict=True):
        row |= {name: scores["accuracy"] for name, scores in result.get("suites", {}).items()}
    return list(dict.fromkeys(name for result in results for name in result.get("suites", {})))


def _changed(config: SearchConfig, each: Configuration) -> list[str]:
    """Settings besides those of the hidden states in which a finalist differs from vanilla KD."""
    fixed = flat(config.tree()["distill"])
    return [
        name
        for name, value in each.values.items()
        if not name.startswith(("beta", "hidden_gradient", "projection.")) and fixed.get(name) != value
    ]


def _best(summaries: Sequence[verdict.Summary], rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The student that becomes `best/`: of the configuration with the lowest mean val/ce, anchors included, the one of
    the first seed, so that no luck of a seed is chosen."""
    winner = min(summaries, key=lambda summary: summary.metrics[verdict.VAL_CE].mean)
    return min((row for row in rows if row["config"] == winner.config), key=lambda row: int(row["seed"]))


def _export(
    config: SearchConfig,
    place: Place,
    best: Mapping[str, Any],
    teachers: Sequence[Teacher],
    said: str,
    comparison: str,
    suites: Sequence[str],
) -> None:
    """Replace `best/` by the best finalist, its card with the verdict."""
    folder = place.folder / best["folder"] / STUDENT
    model, _ = load_model(folder)
    values = {name: value for name, value in best.items() if name in ("config", "seed", "alpha", "beta")}
    card = model_card(
        title=f"{place.folder.name}: best student",
        model=model,
        data=place.prepared.describe(),
        settings={**values, "trained on": "all windows", "configurations compared": config.search.finalists + 2},
        val_ce=best["val_ce"],
        teachers=[teacher.name for teacher in teachers] if best["config"] != "no_distillation" else [],
        minimal_pairs={suite: (best[suite], None) for suite in suites if suite in best},
        verdict=said,
        comparison=comparison,
    )
    copy_export(folder, place.folder / "best", card=card)


def _write_summary(
    config: SearchConfig, place: Place, summaries: Sequence[verdict.Summary], best: Mapping[str, Any], said: str
) -> dict[str, Any]:
    path = place.folder / "summary.json"
    summary: dict[str, Any] = read_json(path)
    summary["finalists"] = {
        **_asked(config),
        "verdict": said,
        "best": {name: best[name] for name in ("config", "seed", "val_ce", "folder")},
        "configurations": [each.to_dict() for each in summaries],
    }
    write_json(path, summary)
    return summary


def _log_to_mlflow(place: Place, summary: Mapping[str, Any], summaries: Sequence[verdict.Summary]) -> None:
    tracker = place.tracker
    for each in summaries:
        for name, spread in each.metrics.items():
            tracker.log_metrics(PARENT, {f"finalists/{each.config}/{name}": spread.mean}, step=0)
    tracker.set_tags(PARENT, {"palenka.verdict": summary["finalists"]["verdict"]})
    for name in ("summary.json", finalists.TABLE):
        tracker.log_artifact(PARENT, place.folder / name)
    tracker.log_model(PARENT, place.folder / "best", "best_student")
    tracker.end_run(PARENT, "FINISHED")
